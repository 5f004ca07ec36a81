import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseCoding } from './encoding.ts';
import { parseRange } from './range.ts';

test('gzip is for those who ask for it alone, or forbid plain bytes', () => {
  const cases: [string | null, string][] = [
    [null, 'identity'],
    ['', 'identity'],
    ['gzip', 'gzip'],
    ['GZIP;q=0.8', 'gzip'],
    ['gzip;q=0', 'identity'],
    ['gzip, deflate', 'identity'],
    ['gzip, identity', 'identity'],
    ['gzip, identity;q=0.5', 'gzip'],
    ['identity;q=0', 'none'],
    ['identity;q=0, gzip', 'gzip'],
    ['*;q=0, gzip', 'gzip'],
    ['*;q=0', 'none'],
    ['*', 'identity'],
    ['br', 'identity'],
  ];
  for (const [header, coding] of cases) assert.equal(chooseCoding(header), coding, String(header));
});

test('one range of bytes is understood, anything else is the whole file', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), { start: 0, end: 1 });
  assert.deepEqual(parseRange('bytes=5-', 10), { start: 5, end: 10 });
  assert.deepEqual(parseRange('bytes=5-100', 10), { start: 5, end: 10 });
  assert.deepEqual(parseRange('bytes=-3', 10), { start: 7, end: 10 });
  assert.deepEqual(parseRange('bytes=-30', 10), { start: 0, end: 10 });
  assert.equal(parseRange('bytes=10-', 10), 'unsatisfiable');
  assert.equal(parseRange('bytes=-0', 10), 'unsatisfiable');
  for (const header of [null, '', 'bytes=-', 'bytes=6-5', 'bytes=1-2,4-5', 'lines=1-2']) {
    assert.equal(parseRange(header, 10), undefined, String(header));
  }
});
