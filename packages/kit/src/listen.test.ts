import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { listen } from './listen.ts';

const spec = { host: '127.0.0.1', port: 0, name: 'the door', setting: 'DOOR_LISTEN' };

test('answers with the address that was chosen', async () => {
  const server = createServer();
  const { address, port } = await listen(server, spec);
  assert.equal(address, '127.0.0.1');
  assert.ok(port > 0);
  server.close();
});

test('an address in use, and one of another host, are told with the setting to change', async () => {
  const first = createServer();
  const { port } = await listen(first, spec);
  const code = 'failed_precondition';
  const hint = /DOOR_LISTEN/;
  await assert.rejects(listen(createServer(), { ...spec, port }), {
    code,
    message: /of the door is in use/,
    hint,
  });
  await assert.rejects(listen(createServer(), { ...spec, host: '192.0.2.1' }), {
    code,
    message: /EADDRNOTAVAIL/,
    hint,
  });
  first.close();
});
