import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import test from 'node:test';
import { ID, read, send, startGuest, startTestGateway, to } from './testing/guest.ts';
import { dialThroughEnvd } from './tunnel.ts';

test('a port that is not open on the address of the guest is reached through envd, with its token', async () => {
  await using service = await startGuest((_req, res) => res.end('from loopback'));
  const tokens: string[] = [];
  await using envd = await startFakeEnvd((line) => {
    const [, port, token] = /^CONNECT (\d+) (\S+)$/.exec(line) ?? [];
    tokens.push(token!);
    return Number(port);
  });
  // Nothing but envd answers at the address, so that the service is on "loopback" only.
  const dialed: number[] = [];
  await using gateway = await startTestGateway(
    { address: '127.0.0.3', accessToken: 'secret' },
    {
      dialLoopback: (route, port, signal) => {
        dialed.push(port);
        return dialThroughEnvd({ ...route, address: '127.0.0.2' }, port, signal, envd.port);
      },
    },
  );
  for (let n = 0; n < 3; n++) {
    assert.equal((await read(await send(gateway.port, { headers: to(service.port) }))).body, 'from loopback');
  }
  assert.deepEqual(dialed, [service.port], 'and the connection is kept');
  assert.deepEqual(tokens, ['secret']);
  const closed = await read(await send(gateway.port, { headers: to(9) }));
  assert.equal(JSON.parse(closed.body).message, 'The sandbox is running but port is not open');
  assert.equal(JSON.parse(closed.body).sandboxId, ID);
});

/** envd's side of the tunnel: one line, one answer, then raw bytes. */
async function startFakeEnvd(portOf: (line: string) => number) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (chunk) => {
      const inner = connect(portOf(chunk.toString().trimEnd()), '127.0.0.2', () => {
        socket.write('OK\n');
        socket.pipe(inner).pipe(socket);
      });
      inner.on('error', () => socket.end('ERR closed\n'));
      socket.on('close', () => inner.destroy());
    });
  });
  server.listen(0, '127.0.0.2');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}
