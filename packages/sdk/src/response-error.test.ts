import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorFromConnect, errorFromResponse } from './response-error.ts';

const cases: [string, number, object | string, string][] = [
  [
    'the code of the closed list',
    409,
    { code: 409, message: 'x', error_code: 'already_exists' },
    'already_exists',
  ],
  ['an E2B error by its status', 404, { code: 404, message: 'x' }, 'not_found'],
  ['a Connect error', 400, { code: 'out_of_range', message: 'x' }, 'invalid_argument'],
  ['a sandbox that is gone', 502, { code: 502, message: 'The sandbox was not found' }, 'not_found'],
  [
    'a closed port',
    502,
    { code: 502, message: 'The sandbox is running but port is not open' },
    'unavailable',
  ],
  ['a page of some proxy', 503, '<html>', 'unavailable'],
  ['an unknown server error', 599, 'null', 'internal'],
  ['an unknown client error', 418, '', 'invalid_argument'],
  ['a code that is a name of Object', 500, { error_code: 'toString', message: 'x' }, 'internal'],
];

for (const [name, status, body, code] of cases) {
  test(name, () => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    assert.equal(errorFromResponse(status, text).code, code);
  });
}

test('what follows the first line of a message is the hint', () => {
  const error = errorFromResponse(404, JSON.stringify({ code: 404, message: 'No template x\nBuild it.' }));
  assert.deepEqual([error.message, error.hint], ['No template x', 'Build it.']);
});

test('a refused key comes with advice', () => {
  assert.match(errorFromResponse(401, '').hint ?? '', /E2B_API_KEY/);
});

test('an error inside a stream', () => {
  const error = errorFromConnect({ code: 'deadline_exceeded', message: 'too long' });
  assert.deepEqual([error.code, error.message], ['deadline_exceeded', 'too long']);
});
