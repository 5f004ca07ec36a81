import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test from 'node:test';
import { ID, read, send, startGuest, startTestGateway, to } from './testing/guest.ts';
import { dialThroughEnvd } from './tunnel.ts';

test('a port that is not open on the address of the guest is reached through envd, with its token', async () => {
  await using service = await startGuest((_req, res) => res.end('from loopback'));
  await using envd = await startGuest((_req, res) => res.writeHead(502).end());
  const tokens: unknown[] = [];
  envd.server.on('upgrade', (req, socket) => {
    tokens.push(req.headers['x-access-token']);
    const port = Number(new URL(req.url!, 'http://envd').searchParams.get('port'));
    const inner = connect(port, '127.0.0.2', () => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
      socket.pipe(inner).pipe(socket);
    });
    inner.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'));
    socket.on('error', () => inner.destroy());
    socket.on('close', () => inner.destroy());
  });
  // Nothing but envd answers at the address, so that the service is on "loopback" only.
  const dialed: number[] = [];
  await using gateway = await startTestGateway(
    { address: '127.0.0.3', accessToken: 'secret' },
    {
      dialLoopback: (route, port, signal) => {
        dialed.push(port);
        return dialThroughEnvd({ ...route, address: '127.0.0.2', envdPort: envd.port }, port, signal);
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
