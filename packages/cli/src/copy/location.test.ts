import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLocation } from './location.ts';

test('an id, a colon and a path are in a sandbox', () => {
  assert.deepEqual(parseLocation('i123:/a:b'), { type: 'sandbox', id: 'i123', path: '/a:b' });
  assert.deepEqual(parseLocation('i123:'), { type: 'sandbox', id: 'i123', path: '.' });
});

test('all else is here', () => {
  for (const path of ['a', './a:b', '/a:b', '../i123:x', 'Upper:x', ':x', 'C:\\x']) {
    assert.deepEqual(parseLocation(path), { type: 'local', path });
  }
  assert.deepEqual(parseLocation('-'), { type: 'stream' });
});
