import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { parseMessage } from './parse-message.ts';

const codes = (text: string) =>
  parseMessage(text).requests.map((request) =>
    'error' in request ? `${request.id} ${request.error.code}` : request.id,
  );

test('ids come back as they were written', () => {
  for (const id of ['1', '0', '-7', '1.50', '1e3', '12345678901234567890', '"a\\u0062"', 'null', '""']) {
    const [request] = parseMessage(`{"jsonrpc":"2.0","method":"a_b","id":${id}}`).requests;
    const expected = id === '"a\\u0062"' ? '"ab"' : id;
    assert.equal(request?.id, expected);
    assert.ok(request && 'method' in request);
  }
});

test('a call without an id is a notification', () => {
  assert.deepEqual(parseMessage('{"jsonrpc":"2.0","method":"a_b","params":[1]}'), {
    isBatch: false,
    requests: [{ id: undefined, method: 'a_b', params: [1] }],
  });
});

for (const [text, expected] of [
  ['', ['null -32700']],
  ['{', ['null -32700']],
  ['[]', ['null -32600']],
  ['5', ['null -32600']],
  ['null', ['null -32600']],
  ['"x"', ['null -32600']],
  ['{}', ['null -32600']],
  ['{"id":3}', ['3 -32600']],
  ['{"jsonrpc":"1.0","method":"a_b","id":3}', ['3 -32600']],
  ['{"jsonrpc":"2.0","method":"","id":3}', ['3 -32600']],
  ['{"jsonrpc":"2.0","method":7,"id":3}', ['3 -32600']],
  ['{"jsonrpc":"2.0","method":"a_b","id":{}}', ['null -32600']],
  ['{"jsonrpc":"2.0","method":"a_b","id":[1]}', ['null -32600']],
  ['{"jsonrpc":"2.0","id":3,"result":1}', []],
  ['[1,{"jsonrpc":"2.0","method":"a_b","id":9007199254740993}]', ['null -32600', '9007199254740993']],
  [`[${'1,'.repeat(1000)}1]`, ['null -32600']],
] as const) {
  test(`${text.slice(0, 60)} is read as ${expected.join(', ') || 'nothing'}`, () =>
    assert.deepEqual(codes(text), expected));
}

test('a message may be as deep as it is long', () => {
  const deep = '['.repeat(30_000) + ']'.repeat(30_000);
  assert.deepEqual(codes(deep), ['null -32600']);
  assert.deepEqual(codes(`{"jsonrpc":"2.0","method":"a_b","id":5,"params":${deep}}`), ['5']);
});

test('nothing makes it throw, and what it makes of a message can be sent', () => {
  const request = fc.record(
    {
      jsonrpc: fc.constantFrom('2.0', '1.0', 2),
      id: fc.jsonValue({ maxDepth: 1 }),
      method: fc.oneof(
        fc.string(),
        fc.constantFrom('process_start', '__proto__'),
        fc.jsonValue({ maxDepth: 0 }),
      ),
      params: fc.jsonValue({ maxDepth: 2 }),
      result: fc.jsonValue({ maxDepth: 1 }),
    },
    { requiredKeys: [] },
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.oneof(request, fc.array(request)).map((value) => JSON.stringify(value)),
    request.chain((value) => fc.nat(100).map((at) => JSON.stringify(value).slice(0, at))),
  );
  fc.assert(
    fc.property(text, (message) => {
      for (const { id } of parseMessage(message).requests) if (id !== undefined) JSON.parse(id);
    }),
    { numRuns: 2_000 },
  );
});
