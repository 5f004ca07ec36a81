import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrometheus, prometheusText } from '@sandbox-backend/kit';
import { createRegistry } from './registry.ts';

test('a value counts in the first bucket whose bound it does not exceed', () => {
  const registry = createRegistry();
  const observe = registry.histogram('d_seconds', 'How long.', [1, 2]);
  for (const value of [0.5, 1, 1.5, 2, 3]) observe({ op: 'x' }, value);
  const [family] = registry.families();
  assert.deepEqual(family?.samples, [{ labels: { op: 'x' }, bounds: [1, 2], counts: [2, 2, 1], sum: 8 }]);
});

test('the number of series is bounded, and what is beyond is still counted', () => {
  const registry = createRegistry();
  const count = registry.counter('a_total', 'How many.');
  for (let index = 0; index < 5000; index++) count({ template: `t${index}` });
  count({ template: 't0' });
  count({ template: 't4999' });
  const samples = parsePrometheus(prometheusText(registry.families())).get('a_total')!.samples;
  assert.equal(samples.length, 1001);
  assert.equal(samples.find(({ labels }) => labels.template === 't0')?.value, 2);
  assert.equal(samples.find(({ labels }) => labels.overflow === 'true')?.value, 4001);
});
