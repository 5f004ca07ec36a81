import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'node:test';
import { networkList } from '@sandbox-backend/kit';
import { WebSocket, WebSocketServer } from 'ws';
import { read, send, sendRaw, startGuest } from '../testing/guest.ts';
import { ID, PRIVATE_IP, startTestDoor, TOKEN } from './testing/seed.ts';

const answerUrl = () => startGuest((req, res) => res.end(`${req.headers.host} ${req.url}`));

test('any other port is forwarded as it is, with the rest of the path and the query', async () => {
  await using guest = await answerUrl();
  await using door = await startTestDoor({ trafficToken: 'not asked for here' });
  for (const rest of ['/', '/a/b?c=%2f', '//a/../b', '/a%2Fb?/../x']) {
    const { status, body } = await read(
      await send(door.port, { path: `/${PRIVATE_IP}/${guest.port}${rest}` }),
    );
    assert.equal(status, 200);
    assert.equal(body, `127.0.0.1:${door.port} ${rest}`);
  }
  const { body } = await read(await send(door.port, { path: `/${PRIVATE_IP}/${guest.port}?x` }));
  assert.match(body, / \/\?x$/);
});

test('a WebSocket of another port is forwarded', async () => {
  await using guest = await answerUrl();
  const sockets = new WebSocketServer({ server: guest.server });
  sockets.on('connection', (socket, req) =>
    socket.on('message', (data) => socket.send(`${req.url} ${data}`)),
  );
  await using door = await startTestDoor();
  const socket = new WebSocket(
    `ws://127.0.0.1:${door.port}/${PRIVATE_IP}/${guest.port}/api/kernels/1/channels`,
  );
  await once(socket, 'open');
  socket.send('hello');
  assert.equal(String((await once(socket, 'message'))[0]), '/api/kernels/1/channels hello');
  const closed = once(socket, 'close');
  door.drop(ID);
  await closed;
});

test('who has no right to a sandbox learns nothing of it', async () => {
  await using guest = await answerUrl();
  await using door = await startTestDoor();
  door.known.set('ipaused', { sandboxId: 'ipaused', state: 'paused' });
  door.known.set('ichanging', { sandboxId: 'ichanging', state: 'changing' });
  door.known.set('iwithout', { sandboxId: 'iwithout', state: 'running', address: '127.0.0.2', envdPort: 9 });
  const answers = new Set<string>();
  for (const [id, suffix] of [
    ['inone', `.${TOKEN}`],
    ['inone', ''],
    [ID, ''],
    [ID, `.${TOKEN.replace('0', '1')}`],
    [ID, `.${'0'.repeat(32)}`],
    ['ipaused', `.${TOKEN}`],
    ['ichanging', `.${TOKEN}`],
    ['iwithout', ''],
    ['iwithout', `.${'0'.repeat(32)}`],
  ] as const) {
    for (const port of [guest.port, 49_982, 49_983, 1]) {
      const { status, headers, body } = await read(
        await send(door.port, { path: `/${id}${suffix}/${port}/` }),
      );
      delete headers.date;
      delete headers['content-length'];
      answers.add(JSON.stringify({ status, headers, body: body.replace(id, 'ID') }));
    }
  }
  assert.equal(answers.size, 1, [...answers].join('\n'));
  const [only] = answers;
  assert.match(only!, /^{"status":502,.*The sandbox was not found/);
});

test('envd is not to be had by this door, at whichever port it listens', async () => {
  let reached = 0;
  await using guest = await startGuest((_req, res) => res.end(String(++reached)));
  await using door = await startTestDoor({ envdPort: guest.port });
  for (const port of [49_983, guest.port]) {
    for (const path of ['/health', '/init', '/files?path=/etc/shadow', '']) {
      const { status, body } = await read(await send(door.port, { path: `/${PRIVATE_IP}/${port}${path}` }));
      assert.equal(status, 502);
      assert.match(body, /port is not open/);
    }
    const upgrade = `GET /${PRIVATE_IP}/${port}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`;
    assert.match(await sendRaw(door.port, upgrade), /^HTTP\/1\.1 502 /);
  }
  assert.equal(reached, 0);
});

for (const [what, head] of Object.entries({
  'a path that climbs': `GET /../${PRIVATE_IP}/80/ HTTP/1.1\r\nHost: x`,
  'an encoded slash': `GET /${PRIVATE_IP}%2f80/ HTTP/1.1\r\nHost: x`,
  'an address of the network': `GET /10.0.0.1/80/ HTTP/1.1\r\nHost: x`,
  'no address': 'GET / HTTP/1.1\r\nHost: x',
})) {
  test(`${what} is not found`, async () => {
    await using door = await startTestDoor();
    assert.match(await sendRaw(door.port, `${head}\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 404 /);
  });
}

for (const [what, head] of Object.entries({
  'a target in absolute form': `GET http://127.0.0.1/${PRIVATE_IP}/80/ HTTP/1.1\r\nHost: x`,
  'a star': 'OPTIONS * HTTP/1.1\r\nHost: x',
  'two hosts': `GET /${PRIVATE_IP}/80/ HTTP/1.1\r\nHost: x\r\nHost: y`,
  'another encoding': `POST /${PRIVATE_IP}/80/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked`,
})) {
  test(`${what} is refused`, async () => {
    await using door = await startTestDoor();
    assert.match(await sendRaw(door.port, `${head}\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 400 /);
  });
}

test('a client from another network is told so, and nothing that it sends is read', async () => {
  let asked = 0;
  const resolve = () => {
    asked++;
    return undefined;
  };
  await using door = await startTestDoor(
    {},
    { clients: networkList(['10.0.0.0/8', '127.0.0.2', 'fd00::/8']), resolve },
  );
  const request = `GET /${PRIVATE_IP}/80/ HTTP/1.1\r\nHost: x\r\n\r\n`;
  assert.match(await sendRaw(door.port, request), /^HTTP\/1\.1 403 /);
  assert.match(await sendRaw(door.port, ''), /^HTTP\/1\.1 403 /, 'without a request, too');
  assert.equal(asked, 0);
  const allowed = connect({ port: door.port, host: '127.0.0.1', localAddress: '127.0.0.2' });
  allowed.write(request);
  assert.match(String((await once(allowed, 'data'))[0]), /^HTTP\/1\.1 502 /);
  assert.equal(asked, 1);
  allowed.destroy();
});

test('nobody may come in when no network may', async () => {
  await using door = await startTestDoor({}, { clients: networkList([]) });
  assert.match(await sendRaw(door.port, ''), /^HTTP\/1\.1 403 /);
});

test('an address in use is named, with its setting', async () => {
  await using door = await startTestDoor();
  await assert.rejects(startTestDoor({}, { listen: { host: '127.0.0.1', port: door.port } }), {
    code: 'failed_precondition',
    hint: /SANDBOX_SEED_PROXY_LISTEN/,
  });
});

test('one client too many is told so', async () => {
  await using guest = await startGuest((_req, res) => void res.write('and more later'));
  await using door = await startTestDoor({}, { maxConnections: 2 });
  const path = `/${PRIVATE_IP}/${guest.port}/`;
  const open = await Promise.all([send(door.port, { path }), send(door.port, { path })]);
  assert.equal((await send(door.port, { path })).statusCode, 429);
  for (const answer of open) answer.destroy();
});
