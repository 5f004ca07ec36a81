import assert from 'node:assert/strict';
import test from 'node:test';
import { overlaps, slotAddresses, slotCount } from './addresses.ts';

test('a slot has the four addresses of its index', () => {
  const table: [string, number, string, string][] = [
    ['10.168.0.0/16', 0, '10.168.0.1', '10.168.0.2'],
    ['10.168.0.0/16', 1, '10.168.0.5', '10.168.0.6'],
    ['10.168.0.0/16', 63, '10.168.0.253', '10.168.0.254'],
    ['10.168.0.0/16', 64, '10.168.1.1', '10.168.1.2'],
    ['10.168.0.0/16', 16_383, '10.168.255.253', '10.168.255.254'],
    ['192.168.7.128/25', 31, '192.168.7.253', '192.168.7.254'],
    ['240.0.0.0/4', 0, '240.0.0.1', '240.0.0.2'],
  ];
  for (const [subnet, index, host, slot] of table) {
    assert.deepEqual(slotAddresses(subnet, index), { host, slot, prefixLength: 30 });
  }
});

test('no two slots of a subnet share an address', () => {
  const seen = new Set<string>();
  for (let index = 0; index < slotCount('10.168.0.0/18'); index++) {
    const { host, slot } = slotAddresses('10.168.0.0/18', index);
    seen.add(host).add(slot);
  }
  assert.equal(slotCount('10.168.0.0/18'), 4096);
  assert.equal(seen.size, 2 * 4096);
});

test('an index outside the subnet is refused', () => {
  for (const index of [16_384, -1, 1.5, Number.NaN, Number.MAX_SAFE_INTEGER]) {
    assert.throws(() => slotAddresses('10.168.0.0/16', index), { code: 'resource_exhausted' });
  }
});

test('what is not a subnet is refused', () => {
  for (const subnet of [
    '',
    '10.168.0.0',
    '10.168.0/16',
    '10.168.0.0/31',
    '10.168.0.1/16',
    '1.2.3.400/8',
    'fd00::/8',
  ]) {
    assert.throws(() => slotAddresses(subnet, 0), { code: 'invalid_argument' }, subnet);
  }
});

test('ranges overlap when they share an address', () => {
  const table: [string, string, boolean][] = [
    ['10.168.0.0/16', '10.0.0.0/8', true],
    ['10.0.0.0/8', '10.168.3.0/24', true],
    ['10.168.0.0/16', '10.169.0.0/16', false],
    ['10.168.0.0/16', '10.168.255.255', true],
    ['10.168.0.0/16', '192.168.0.0/16', false],
    ['10.168.0.0/16', '0.0.0.0/0', true],
  ];
  for (const [one, other, expected] of table) assert.equal(overlaps(one, other), expected, `${one} ${other}`);
});
