import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { ID, sendRaw, startGuest, startTestGateway, to } from './testing/guest.ts';

async function startEcho() {
  const guest = await startGuest((_req, res) => res.end('plain'));
  const sockets = new WebSocketServer({ server: guest.server });
  sockets.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.send('welcome');
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  return { ...guest, sockets };
}

test('a WebSocket works, from the first message of the guest to the last of the client', async () => {
  await using guest = await startEcho();
  await using gateway = await startTestGateway();
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/chat?room=1`, { headers: to(guest.port) });
  assert.equal(String((await once(socket, 'message'))[0]), 'welcome');
  for (const text of ['hello', 'x'.repeat(200_000)]) {
    socket.send(text);
    assert.equal(String((await once(socket, 'message'))[0]), text);
  }
  socket.close(4000, 'done');
  assert.equal((await once(socket, 'close'))[0], 4000);
});

test('a kill closes a WebSocket at once, at both ends', async () => {
  await using guest = await startEcho();
  await using gateway = await startTestGateway();
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/`, { headers: to(guest.port) });
  socket.on('error', () => {});
  await once(socket, 'message');
  const [inGuest] = guest.sockets.clients;
  const ends = [once(socket, 'close'), once(inGuest!, 'close')];
  gateway.drop(ID);
  await Promise.all(ends);
});

test('a guest that dies closes the WebSocket of the client, and the other way round', async () => {
  await using guest = await startEcho();
  await using gateway = await startTestGateway();
  const one = new WebSocket(`ws://127.0.0.1:${gateway.port}/`, { headers: to(guest.port) });
  await once(one, 'message');
  const closed = once(one, 'close');
  for (const inGuest of guest.sockets.clients) inGuest.terminate();
  await closed;

  const two = new WebSocket(`ws://127.0.0.1:${gateway.port}/`, { headers: to(guest.port) });
  await once(two, 'message');
  const [inGuest] = guest.sockets.clients;
  const ended = once(inGuest!, 'close');
  two.terminate();
  await ended;
});

test('any other protocol passes too, bytes sent early included', async () => {
  await using guest = await startGuest((_req, res) => res.end());
  guest.server.on('upgrade', (_req, socket, head) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    if (head.length > 0) socket.write(head);
    socket.pipe(socket);
  });
  await using gateway = await startTestGateway();
  const answer = await sendRaw(
    gateway.port,
    `GET / HTTP/1.1\r\nHost: ${guest.port}-${ID}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly`,
    (text) => text.endsWith('early'),
  );
  assert.match(answer, /^HTTP\/1\.1 101 .*\r\n\r\nearly$/s);
});

test('a guest that declines to switch answers, and nothing after that reaches it unseen', async () => {
  const urls: (string | undefined)[] = [];
  await using guest = await startGuest((req, res) => {
    urls.push(req.url);
    res.end('declined');
  });
  await using gateway = await startTestGateway({ envdPort: guest.port });
  const answer = await sendRaw(
    gateway.port,
    `GET /ok HTTP/1.1\r\nHost: 49983-${ID}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nPOST /init HTTP/1.1\r\nHost: 49983-${ID}\r\nContent-Length: 0\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1\.1 200 .*declined$/s);
  assert.deepEqual(urls, ['/ok']);
});

test('an offer of h2c is declined by taking the request as it is', async () => {
  await using guest = await startGuest((req, res) =>
    res.end(`${req.headers.upgrade} ${req.headers['http2-settings']}`),
  );
  await using gateway = await startTestGateway();
  const answer = await sendRaw(
    gateway.port,
    `GET / HTTP/1.1\r\nHost: ${guest.port}-${ID}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
    (text) => text.includes('undefined undefined'),
  );
  assert.match(answer, /^HTTP\/1\.1 200 /);
});

test('a refusal on the way to switching has its usual form', async () => {
  await using gateway = await startTestGateway();
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/`, { headers: to(80, 'inone') });
  const [, response] = await once(socket, 'unexpected-response');
  assert.equal(response.statusCode, 502);
  socket.on('error', () => {});
  socket.terminate();
});

test('a client that goes away while the port is waited for is forgotten', async () => {
  await using gateway = await startTestGateway();
  const socket = connect(gateway.port, '127.0.0.1');
  socket.write(`GET / HTTP/1.1\r\nHost: 9-${ID}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
  await once(socket, 'connect');
  socket.destroy();
  await once(socket, 'close');
});
