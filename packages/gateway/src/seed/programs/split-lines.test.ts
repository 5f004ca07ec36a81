import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Budget } from '../budget.ts';
import { splitLines } from './split-lines.ts';

test('lines come whole however the bytes are cut, and the rest comes at the end', () => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[\r\n]/g, ''));
  fc.assert(
    fc.property(fc.array(line), line, fc.array(fc.nat(20)), (lines, rest, cuts) => {
      const held = new Budget(1_000_000);
      const splitter = splitLines(held);
      const bytes = Buffer.from(lines.map((one, at) => one + (at % 2 ? '\r\n' : '\n')).join('') + rest);
      const got: string[] = [];
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        got.push(...splitter.add(bytes.subarray(at, at + cut)));
        at += cut;
      }
      got.push(...splitter.end());
      assert.deepEqual(got, rest ? [...lines, rest] : lines);
      assert.ok(held.tryTake(1_000_000), 'everything was given back');
    }),
  );
});

test('a line for which there is no room comes in pieces, none of which cuts a character', () => {
  const held = new Budget(10);
  const splitter = splitLines(held);
  const text = '☃'.repeat(50);
  const bytes = Buffer.from(`${text}\n`);
  const got: string[] = [];
  for (let at = 0; at < bytes.length; at += 7) got.push(...splitter.add(bytes.subarray(at, at + 7)));
  assert.ok(got.length > 5);
  assert.equal(got.join(''), text);
  assert.ok(got.every((piece) => !piece.includes('\ufffd')));
});

test('bytes that are no text do not hold anything up', () => {
  const held = new Budget(4);
  const splitter = splitLines(held);
  for (let round = 0; round < 10; round++) splitter.add(Buffer.alloc(64, 0x80));
  assert.ok(held.tryTake(1));
});
