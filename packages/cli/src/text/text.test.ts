import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDuration } from './duration.ts';
import { parseCount, parseWholeNumber } from './number.ts';
import { collectPair } from './pairs.ts';
import { printable, printableLines } from './printable.ts';
import { quoteForShell } from './quote.ts';
import { formatBytes } from './size.ts';
import { renderFields, renderTable } from './table.ts';
import { formatEnd, formatTime } from './time.ts';

test('durations', () => {
  const cases = {
    300: 300_000,
    '300s': 300_000,
    '1.5h': 5_400_000,
    '1h30m': 5_400_000,
    '250ms': 250,
    never: 0,
  };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms, text);
  for (const text of ['', '-1', '1x', 'h', '1h 30m', '1e3', 'Infinity', '∞']) {
    assert.throws(() => parseDuration(text), { code: 'invalid_argument' }, text);
  }
  const shown = { '0s': 0, '42s': 42_400, '1h 5m': 3_905_000, '2d': 172_800_000 };
  for (const [text, ms] of Object.entries(shown)) assert.equal(formatDuration(ms), text);
});

test('the end of a sandbox', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  assert.equal(formatEnd('2026-01-01T00:04:30Z', now), 'in 4m 30s');
  assert.equal(formatEnd('2025-12-31T00:00:00Z', now), 'now');
  assert.equal(formatEnd('2094-01-01T00:00:00Z', now), 'never');
  assert.equal(formatEnd(undefined, now), '-');
  assert.match(formatTime('2026-01-02T03:04:05Z'), /^\d{4}-\d\d-\d\d \d\d:\d\d:05$/);
  assert.equal(formatTime('soon'), 'soon');
});

test('numbers', () => {
  assert.equal(parseWholeNumber('0'), 0);
  for (const text of ['', '-1', '1.5', '0x10', '1e9', '9'.repeat(20)]) {
    assert.throws(() => parseWholeNumber(text), { code: 'invalid_argument' }, text);
  }
  assert.throws(() => parseCount('0'), { code: 'invalid_argument' });
});

test('bytes', () => {
  assert.deepEqual([0, 1023, 1536, 512 * 2 ** 20, 2.5 * 2 ** 30].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '512 MiB',
    '2.5 GiB',
  ]);
});

test('pairs: the first = divides, the value may be empty', () => {
  assert.deepEqual(collectPair('b=', collectPair('a=1=2')), { a: '1=2', b: '' });
  for (const text of ['a', '=1', '']) assert.throws(() => collectPair(text), { code: 'invalid_argument' });
});

test('a quoted word is the same word for a shell', () => {
  const word = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0') && text.isWellFormed());
  fc.assert(
    fc.property(word, (text) => {
      const script = `printf '%s' ${quoteForShell(text)}`;
      assert.equal(execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' }), text);
    }),
    { numRuns: 50 },
  );
  assert.equal(quoteForShell('http://127.0.0.1:3000'), 'http://127.0.0.1:3000');
});

test('nothing that a terminal obeys gets through', () => {
  assert.equal(
    printable('a\tb\u001b[31m\n\u009b2J\u202e'),
    'a\tb\\x1b[31m\\xa\\x9b2J\\u202e'.replace('\\xa', '\\x0a'),
  );
  assert.equal(printableLines('a\nb\r'), 'a\nb\\x0d');
});

test('tables line up', () => {
  type Row = { name: string; size: string };
  const rows: Row[] = [
    { name: 'a', size: '10' },
    { name: 'longer', size: '1' },
  ];
  const columns = [
    { title: 'name', value: ({ name }: Row) => name },
    { title: 'size', value: ({ size }: Row) => size, align: 'right' as const },
  ];
  assert.equal(renderTable(columns, rows), 'NAME    SIZE\na         10\nlonger     1');
  assert.equal(renderTable(columns, []), 'NAME  SIZE');
  assert.equal(renderFields({ id: 'x', longer: 'y', left: undefined }), 'id      x\nlonger  y');
});
