import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from './config.ts';

test('the doors are on loopback unless configured', () => {
  const config = readConfig({});
  assert.deepEqual(config.api, { host: '127.0.0.1', port: 3000 });
  assert.deepEqual(config.gateway, { host: '127.0.0.1', port: 3002 });
});

test('an address is a host and a port, or a port on loopback', () => {
  assert.deepEqual(readConfig({ SANDBOX_API_LISTEN: '0.0.0.0:8080' }).api, { host: '0.0.0.0', port: 8080 });
  assert.deepEqual(readConfig({ SANDBOX_API_LISTEN: '[::1]:8080' }).api, { host: '::1', port: 8080 });
  assert.deepEqual(readConfig({ SANDBOX_API_LISTEN: '8080' }).api, { host: '127.0.0.1', port: 8080 });
});

test('the doors of older clients are on loopback too, for clients on loopback, and can be shut', () => {
  const { seed, ssh } = readConfig({});
  assert.deepEqual(seed.control, { host: '127.0.0.1', port: 5000 });
  assert.deepEqual(seed.proxy, { host: '127.0.0.1', port: 6666 });
  assert.deepEqual(ssh, { host: '127.0.0.1', port: 2222 });
  assert.ok(seed.clients.check('127.0.0.1'));
  assert.ok(!seed.clients.check('192.168.1.1'));
  const shut = readConfig({
    SANDBOX_SEED_CONTROL_LISTEN: 'off',
    SANDBOX_SEED_PROXY_LISTEN: 'off',
    SANDBOX_SSH_LISTEN: 'off',
  });
  assert.deepEqual([shut.seed.control, shut.seed.proxy, shut.ssh], [undefined, undefined, undefined]);
});

test('networks of clients are in CIDR form', () => {
  const { seed } = readConfig({ SANDBOX_SEED_CLIENTS: '10.0.0.0/8, fd00::/8,192.0.2.7' });
  const list = seed.clients;
  assert.ok(list.check('10.1.2.3') && list.check('192.0.2.7') && list.check('fd00::1', 'ipv6'));
  assert.ok(!list.check('192.0.2.8') && !list.check('127.0.0.1'));
});

for (const [name, text] of [
  ['SANDBOX_API_LISTEN', 'localhost'],
  ['SANDBOX_API_LISTEN', '127.0.0.1:99999'],
  ['SANDBOX_WARM_MACHINES', '-1'],
  ['SANDBOX_WARM_MACHINES', 'many'],
  ['SANDBOX_ACCELERATOR', 'hax'],
  ['SANDBOX_SEED_CLIENTS', '10.0.0.0/33'],
  ['SANDBOX_SEED_CLIENTS', 'localhost'],
  ['SANDBOX_SSH_LISTEN', 'on'],
  ['SANDBOX_NETWORK_LIMIT_MBIT', 'fast'],
] as const) {
  test(`${name}=${text} is refused, and the error names it`, () => {
    assert.throws(
      () => readConfig({ [name]: text }),
      (error: Error) => error.message.includes(name),
    );
  });
}
