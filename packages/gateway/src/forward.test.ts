import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ID, read, send, sendRaw, startGuest, startRawGuest, startTestGateway, to } from './testing/guest.ts';

test('headers keep their case, order and duplicates both ways; those of the connection stay behind', async () => {
  let seen: string[] = [];
  await using guest = await startGuest((req, res) => {
    seen = req.rawHeaders;
    res.writeHead(207, 'Quite So', [
      'X-One',
      '1',
      'Set-Cookie',
      'a',
      'set-cookie',
      'b',
      'X-ONE',
      '2',
      'Keep-Alive',
      'timeout=7',
    ]);
    res.end('ok');
  });
  await using gateway = await startTestGateway();
  const answer = await send(gateway.port, {
    headers: [
      'Host',
      `${guest.port}-${ID}`,
      'X-CaSe',
      'a',
      'x-case',
      'b',
      'Connection',
      'X-Secret',
      'X-Secret',
      's',
      'TE',
      'trailers, gzip',
    ],
  });
  assert.deepEqual(seen.slice(0, 8), [
    'Host',
    `${guest.port}-${ID}`,
    'X-CaSe',
    'a',
    'x-case',
    'b',
    'TE',
    'trailers',
  ]);
  assert.ok(!seen.includes('X-Secret'));
  assert.equal(answer.statusMessage, 'Quite So');
  assert.deepEqual(answer.rawHeaders.slice(0, 8), [
    'X-One',
    '1',
    'Set-Cookie',
    'a',
    'set-cookie',
    'b',
    'X-ONE',
    '2',
  ]);
  assert.equal((await read(answer)).body, 'ok');
});

test('an answer arrives piece by piece, as the guest writes it, its head first', async () => {
  const steps: (() => void)[] = [];
  await using guest = await startGuest((_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    res.flushHeaders();
    steps.push(
      () => res.write('data: 1\n\n'),
      () => res.write('data: 2\n\n'),
      () => res.end(),
    );
  });
  await using gateway = await startTestGateway();
  const answer = await send(gateway.port, { headers: to(guest.port) });
  const chunks = answer[Symbol.asyncIterator]();
  for (const expected of ['data: 1\n\n', 'data: 2\n\n']) {
    steps.shift()!();
    assert.equal(String((await chunks.next()).value), expected);
  }
  steps.shift()!();
  assert.equal((await chunks.next()).done, true);
});

test('an upload without a length arrives piece by piece, its head before the first', async () => {
  await using guest = await startGuest((req, res) => {
    res.write('head ');
    req.pipe(res);
  });
  await using gateway = await startTestGateway();
  const upload = request({ host: '127.0.0.1', port: gateway.port, method: 'POST', headers: to(guest.port) });
  upload.flushHeaders();
  const [answer] = (await once(upload, 'response')) as [Readable];
  const chunks = answer[Symbol.asyncIterator]();
  assert.equal(String((await chunks.next()).value), 'head ');
  for (const part of ['one', 'two']) {
    upload.write(part);
    assert.equal(String((await chunks.next()).value), part);
  }
  upload.end();
  assert.equal((await chunks.next()).done, true);
});

test('large bodies pass both ways unchanged', async () => {
  const block = Buffer.alloc(1 << 20, 'sandbox ');
  const bytes = 48 << 20;
  await using guest = await startGuest((req, res) => void pipeline(req, res));
  await using gateway = await startTestGateway();
  const upload = request({ host: '127.0.0.1', port: gateway.port, method: 'PUT', headers: to(guest.port) });
  const source = Readable.from(Array.from({ length: bytes / block.length }, () => block));
  const sending = pipeline(source, upload);
  const [answer] = (await once(upload, 'response')) as [Readable];
  const got = createHash('sha256');
  for await (const chunk of answer) got.update(chunk);
  await sending;
  const sent = createHash('sha256');
  for (let n = 0; n < bytes / block.length; n++) sent.update(block);
  assert.equal(got.digest('hex'), sent.digest('hex'));
});

test('a client that does not read stops the guest from writing, instead of filling memory', async () => {
  let written = 0;
  const block = Buffer.alloc(1 << 20);
  await using guest = await startGuest((_req, res) => {
    const more = () => {
      while (!res.destroyed) {
        written += block.length;
        if (!res.write(block)) return res.once('drain', more);
      }
      return undefined;
    };
    more();
  });
  await using gateway = await startTestGateway();
  const answer = await send(gateway.port, { headers: to(guest.port) });
  let before = -1;
  while (written !== before) {
    before = written;
    await sleep(300);
  }
  assert.ok(written < 64 << 20, `${written} bytes were taken from the guest`);
  answer.destroy();
});

test('connections to the guest are used again', async () => {
  let connections = 0;
  await using guest = await startGuest((req, res) => {
    req.resume();
    res.end('ok');
  });
  guest.server.on('connection', () => connections++);
  await using gateway = await startTestGateway();
  const agent = new Agent({ keepAlive: true });
  for (let n = 0; n < 20; n++) {
    const post = n % 2 ? { method: 'POST', body: 'x' } : {};
    assert.equal(
      (await read(await send(gateway.port, { headers: to(guest.port), agent, ...post }))).body,
      'ok',
    );
  }
  agent.destroy();
  assert.equal(connections, 1);
});

/** A guest that answers once on each connection and resets it when it is used again. */
const startForgetful = (counts: { requests: number }) =>
  startRawGuest((socket) => {
    let used = false;
    socket.on('data', () => {
      counts.requests++;
      if (used) return socket.resetAndDestroy();
      used = true;
      return socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });

test('a kept connection that turns out dead is replaced for a GET, and not for a POST', async () => {
  const counts = { requests: 0 };
  await using guest = await startForgetful(counts);
  await using gateway = await startTestGateway();
  const ask = async (method: string, body?: string) =>
    (await read(await send(gateway.port, { method, headers: to(guest.port), ...(body && { body }) }))).status;
  assert.equal(await ask('GET'), 200);
  assert.equal(await ask('GET'), 200);
  assert.equal(counts.requests, 3);
  assert.equal(await ask('POST', 'x'), 502);
  assert.equal(counts.requests, 4, 'sent once');
});

test('the guest is asked before a client is told to continue', async () => {
  const asked: (string | undefined)[] = [];
  await using guest = await startGuest((_req, res) => res.end());
  guest.server.on('checkContinue', (req, res) => {
    asked.push(req.headers.expect);
    if (req.url === '/no') {
      res.writeHead(413, { Connection: 'close' }).end('no');
      return;
    }
    res.writeContinue();
    req.pipe(res);
  });
  await using gateway = await startTestGateway();
  const ask = (path: string) => {
    const upload = request({
      host: '127.0.0.1',
      port: gateway.port,
      path,
      method: 'POST',
      headers: { ...to(guest.port), Expect: '100-continue', 'Content-Length': '4' },
    });
    upload.flushHeaders();
    return upload;
  };
  const yes = ask('/yes');
  await once(yes, 'continue');
  yes.end('body');
  const [answer] = await once(yes, 'response');
  assert.equal((await read(answer)).body, 'body');

  const no = ask('/no');
  no.on('continue', () => assert.fail('told to continue'));
  const [refused] = await once(no, 'response');
  assert.equal((await read(refused)).body, 'no');
  no.destroy();
  assert.deepEqual(asked, ['100-continue', '100-continue']);
});

test('answers without a body have none, and methods without a body get none', async () => {
  const bodies: string[] = [];
  await using guest = await startGuest(async (req, res) => {
    bodies.push(`${req.method} ${req.headers['content-length']} ${req.headers['transfer-encoding']}`);
    if (req.url === '/304') res.writeHead(304, { ETag: 'x' }).end();
    else if (req.method === 'HEAD') res.writeHead(200, { 'Content-Length': '5000' }).end();
    else res.writeHead(204).end();
  });
  await using gateway = await startTestGateway();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (method: string, path = '/') =>
    read(await send(gateway.port, { method, path, headers: to(guest.port), agent }));
  const head = await ask('HEAD');
  assert.equal(head.headers['content-length'], '5000');
  assert.equal((await ask('GET', '/304')).headers.etag, 'x');
  assert.equal((await ask('DELETE')).status, 204);
  agent.destroy();
  await sendRaw(gateway.port, `POST / HTTP/1.1\r\nHost: ${guest.port}-${ID}\r\nConnection: close\r\n\r\n`);
  assert.deepEqual(bodies, [
    'HEAD undefined undefined',
    'GET undefined undefined',
    'DELETE undefined undefined',
    'POST 0 undefined',
  ]);
});

test('trailers pass both ways', async () => {
  let got: NodeJS.Dict<string> = {};
  await using guest = await startGuest(async (req, res) => {
    await buffer(req);
    got = req.trailers;
    res.writeHead(200, { Trailer: 'X-Sum' });
    res.write('body');
    res.addTrailers({ 'X-Sum': '42' });
    res.end();
  });
  await using gateway = await startTestGateway();
  const upload = request({
    host: '127.0.0.1',
    port: gateway.port,
    method: 'POST',
    headers: { ...to(guest.port), Trailer: 'X-In', 'Transfer-Encoding': 'chunked' },
  });
  upload.write('x');
  upload.addTrailers({ 'X-In': '7' });
  upload.end();
  const [answer] = await once(upload, 'response');
  await read(answer);
  assert.equal(got['x-in'], '7');
  assert.equal(answer.trailers['x-sum'], '42');
});

test('a client that goes away ends the request to the guest', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  await using guest = await startGuest((_req, res) => {
    res.write('begun');
    res.on('close', resolve);
  });
  await using gateway = await startTestGateway();
  const answer = await send(gateway.port, { headers: to(guest.port) });
  await once(answer, 'data');
  answer.destroy();
  await ended;
});

test('a guest that breaks off breaks off for the client; one that says nothing is a 502', async () => {
  await using guest = await startGuest((req, res) => {
    if (req.url === '/silent') return req.socket.destroy();
    res.write('begun');
    return setImmediate(() => req.socket.destroy());
  });
  await using gateway = await startTestGateway();
  await assert.rejects(async () => read(await send(gateway.port, { headers: to(guest.port) })), {
    code: 'ECONNRESET',
  });
  const { status, body } = await read(await send(gateway.port, { path: '/silent', headers: to(guest.port) }));
  assert.equal(status, 502);
  assert.equal(JSON.parse(body).sandboxId, ID);
});

test('a kill cuts everything at once: streams and kept connections break off, a request without an answer gets a 502', async () => {
  const closed: Promise<unknown>[] = [];
  await using guest = await startGuest((_req, res) => void res.write('begun'));
  guest.server.on('connection', (socket) => {
    socket.on('error', () => {});
    closed.push(once(socket, 'close'));
  });
  await using gateway = await startTestGateway();
  const streams = await Promise.all([1, 2, 3].map(() => send(gateway.port, { headers: to(guest.port) })));
  await Promise.all(streams.map((stream) => once(stream, 'data')));
  const waiting = send(gateway.port, { headers: to(9) }).then(read);
  const ends = streams.map((stream) => assert.rejects(read(stream), { code: 'ECONNRESET' }));
  await sleep(20); // the request to the closed port is between two tries
  gateway.known.delete(ID);
  gateway.drop(ID);
  await Promise.all([...ends, ...closed]);
  assert.equal((await waiting).status, 502);
  assert.equal(
    (await read(await send(gateway.port, { path: '/health', headers: to(guest.port) }))).status,
    502,
  );
});

test('a client connection that serves several sandboxes outlives the kill of one', async () => {
  await using guest = await startGuest((_req, res) => res.end('ok'));
  await using gateway = await startTestGateway();
  gateway.known.set('iother', { ...gateway.known.get(ID)!, sandboxId: 'iother' });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (id: string) => read(await send(gateway.port, { headers: to(guest.port, id), agent }));
  assert.equal((await ask(ID)).status, 200);
  gateway.known.delete(ID);
  gateway.drop(ID);
  assert.equal((await ask('iother')).status, 200);
  assert.equal((await ask(ID)).status, 502);
  assert.equal((await ask('iother')).status, 200);
  agent.destroy();
});

test('a sandbox at another address than before is reached there', async () => {
  await using guest = await startGuest((req, res) => res.end(req.socket.localAddress));
  const moved = (await import('node:http')).createServer((req, res) => res.end(req.socket.localAddress));
  const port = (guest.server.address() as AddressInfo).port;
  moved.listen(port, '127.0.0.4');
  await once(moved, 'listening');
  try {
    await using gateway = await startTestGateway();
    assert.equal((await read(await send(gateway.port, { headers: to(port) }))).body, '127.0.0.2');
    gateway.known.set(ID, { sandboxId: ID, state: 'running', address: '127.0.0.4', envdPort: 49983 });
    assert.equal((await read(await send(gateway.port, { headers: to(port) }))).body, '127.0.0.4');
  } finally {
    moved.closeAllConnections();
    moved.close();
  }
});

test('a large upload to a sandbox that is gone is answered while it is still being sent', async () => {
  await using gateway = await startTestGateway();
  const socket = connect(gateway.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(
    `POST / HTTP/1.1\r\nHost: 49983-inone.x\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1000)}`,
  );
  const [data] = await once(socket, 'data');
  socket.destroy();
  assert.match(String(data), /^HTTP\/1\.1 502 /);
});

test('more connections to one sandbox than allowed are refused', async () => {
  await using guest = await startGuest((_req, res) => void res.write('begun'));
  await using gateway = await startTestGateway({}, { maxConnections: 2 });
  const streams = await Promise.all([1, 2].map(() => send(gateway.port, { headers: to(guest.port) })));
  assert.equal((await read(await send(gateway.port, { headers: to(guest.port) }))).status, 429);
  for (const stream of streams) stream.destroy();
});
