import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeEnvelopes, encodeEnvelope } from './envelope.ts';

async function* inChunks(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function decodeAll(bytes: Buffer, size: number) {
  const found = [];
  for await (const { flags, data } of decodeEnvelopes(inChunks(bytes, size))) {
    found.push({ flags, message: JSON.parse(data.toString('utf8')) as unknown });
  }
  return found;
}

test('messages survive however the bytes are cut', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.string(), { maxLength: 8 }),
      fc.integer({ min: 1, max: 40 }),
      async (texts, size) => {
        const bytes = Buffer.concat(texts.map((text) => encodeEnvelope({ text })));
        const expected = texts.map((text) => ({ flags: 0, message: { text } }));
        assert.deepEqual(await decodeAll(bytes, size), expected);
      },
    ),
  ));

test('the flags are kept', async () => {
  assert.deepEqual(await decodeAll(encodeEnvelope({}, 2), 3), [{ flags: 2, message: {} }]);
});

test('a stream that is cut off is an error, not an end', async () => {
  const bytes = encodeEnvelope({ text: 'hello' });
  await assert.rejects(decodeAll(bytes.subarray(0, -1), 100), { code: 'unavailable' });
});

test('a length beyond reason is refused before anything is kept', async () => {
  const head = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
  await assert.rejects(decodeAll(head, 5), /larger than envd may send/);
});
