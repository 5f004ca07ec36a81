import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isListed, networkList } from './networks.ts';

test('an address is in a network, however it is written', () => {
  const list = networkList(['10.0.0.0/8', ' 192.0.2.7', 'fd00::/8']);
  for (const address of [
    '10.1.2.3',
    '192.0.2.7',
    'fd00::1',
    '::ffff:10.1.2.3',
    '::FFFF:10.1.2.3',
    'fd00::1%eth0',
  ]) {
    assert.ok(isListed(list, address), address);
  }
  for (const address of ['11.0.0.1', '192.0.2.8', 'fe80::1', '::ffff:11.0.0.1', '', 'localhost', undefined]) {
    assert.ok(!isListed(list, address), address);
  }
  assert.ok(!isListed(networkList([]), '127.0.0.1'));
});

test('what is no network is refused', () => {
  for (const network of [
    '10.0.0.0/33',
    'fd00::/129',
    'localhost',
    '',
    '10.0.0/8',
    '10.0.0.0/-1',
    '10.0.0.0/8/9',
  ]) {
    assert.throws(() => networkList([network]), { code: 'invalid_argument' }, network);
  }
});
