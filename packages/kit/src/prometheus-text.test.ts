import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { prometheusText } from './prometheus-text.ts';
import { parsePrometheus } from './testing/parse-prometheus.ts';

test('counters and gauges are written with their help and type', () => {
  const text = prometheusText([
    { name: 'a_total', help: 'How many.', type: 'counter', samples: [{ labels: { code: 'ok' }, value: 3 }] },
    { name: 'b_bytes', help: 'How much.', type: 'gauge', samples: [{ value: 0.5 }] },
  ]);
  assert.equal(
    text,
    '# HELP a_total How many.\n# TYPE a_total counter\na_total{code="ok"} 3\n' +
      '# HELP b_bytes How much.\n# TYPE b_bytes gauge\nb_bytes 0.5\n',
  );
});

test('a histogram has cumulative buckets up to infinity', () => {
  const text = prometheusText([
    {
      name: 'd_seconds',
      help: 'How long.',
      type: 'histogram',
      samples: [{ labels: { op: 'x' }, bounds: [0.1, 1], counts: [2, 1, 4], sum: 12.5 }],
    },
  ]);
  assert.deepEqual(text.split('\n').slice(2, -1), [
    'd_seconds_bucket{op="x",le="0.1"} 2',
    'd_seconds_bucket{op="x",le="1"} 3',
    'd_seconds_bucket{op="x",le="+Inf"} 7',
    'd_seconds_sum{op="x"} 12.5',
    'd_seconds_count{op="x"} 7',
  ]);
  parsePrometheus(text);
});

test('a family without samples is still legal', () => {
  parsePrometheus(prometheusText([{ name: 'a_total', help: '', type: 'counter', samples: [] }]));
});

test('no label value and no number breaks out of its line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.double(), (text, value) => {
      const written = prometheusText([
        { name: 'g', help: text.replaceAll('\r', ''), type: 'gauge', samples: [{ labels: { text }, value }] },
      ]);
      const [sample] = parsePrometheus(written).get('g')!.samples;
      assert.equal(sample?.labels.text, text.replaceAll('\r', ''));
      assert.equal(sample?.value, value === 0 ? 0 : value);
    }),
  );
});

for (const text of [
  'a 1\n',
  '# HELP a x\na 1\n',
  '# HELP a x\n# TYPE a gauge\na 1\na 1\n',
  '# HELP a x\n# TYPE a gauge\na{l="x"y"} 1\n',
  '# HELP a x\n# TYPE a gauge\na 1',
  '# HELP a x\n# TYPE a counter\na 1\n',
]) {
  test(`the reader of these tests refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parsePrometheus(text));
  });
}
