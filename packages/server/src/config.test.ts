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

for (const [name, text] of [
  ['SANDBOX_API_LISTEN', 'localhost'],
  ['SANDBOX_API_LISTEN', '127.0.0.1:99999'],
  ['SANDBOX_WARM_MACHINES', '-1'],
  ['SANDBOX_WARM_MACHINES', 'many'],
  ['SANDBOX_ACCELERATOR', 'hax'],
] as const) {
  test(`${name}=${text} is refused, and the error names it`, () => {
    assert.throws(
      () => readConfig({ [name]: text }),
      (error: Error) => error.message.includes(name),
    );
  });
}
