import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Operation } from '@sandbox-backend/kit';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { ApiClient } from './api-client.ts';

const operation = (timeoutMs = 10_000) => new Operation('test', { timeoutMs });

/** A VMM that answers each request with the bytes it is given; an empty answer closes the connection. */
async function fakeApi(answer: (request: string, socket: Socket) => void) {
  await using held = new AsyncDisposableStack();
  const folder = held.use(await temporaryFolder());
  const path = join(folder.path, 'api.sock');
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      requests.push(String(data));
      answer(String(data), socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const end = () => {
    for (const socket of sockets) socket.destroy();
  };
  held.defer(async () => {
    end();
    await new Promise((resolve) => server.close(resolve));
  });
  const client = held.use(
    await ApiClient.open(
      operation(),
      path,
      async () => true,
      (body) => `said ${body}`,
    ),
  );
  const owned = held.move();
  return { client, requests, end, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const reply = (status: string, body: string) =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

test('a body goes with its length, and is answered by JSON or by nothing', async () => {
  await using api = await fakeApi((request, socket) =>
    socket.write(
      request.startsWith('GET') ? reply('200 OK', '{"state":"Paused"}') : 'HTTP/1.1 204 No Content\r\n\r\n',
    ),
  );
  assert.equal(await api.client.send(operation(), 'PUT', '/vm', { name: 'ü' }), undefined);
  assert.match(api.requests[0]!, /^PUT \/vm HTTP\/1.1\r\n/);
  assert.match(api.requests[0]!, /content-length: 13\r\n/i);
  assert.doesNotMatch(api.requests[0]!, /chunked/i);
  assert.deepEqual(await api.client.send(operation(), 'GET', '/vm'), { state: 'Paused' });
});

test('a refusal is an error with the words of the VMM, and the connection goes on', async () => {
  await using api = await fakeApi((_, socket) => socket.write(reply('400 Bad Request', 'no')));
  for (const _ of [1, 2]) {
    await assert.rejects(api.client.send(operation(), 'PUT', '/vm', {}), {
      code: 'internal',
      message: 'the VMM refused PUT /vm: said no',
    });
  }
  assert.equal(api.client.isClosed, false);
});

test('a VMM that is slow, sends half an answer, or dies in a request', async () => {
  await using slow = await fakeApi(() => {});
  await assert.rejects(slow.client.send(operation(50), 'GET', '/'), { code: 'deadline_exceeded' });

  await using half = await fakeApi((_, socket) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"state"'),
  );
  await assert.rejects(half.client.send(operation(), 'GET', '/'), { code: 'unavailable' });

  await using dying = await fakeApi(() => dying.end());
  await assert.rejects(dying.client.send(operation(), 'GET', '/'), { code: 'unavailable' });
  await dying.client.closed;
  await assert.rejects(dying.client.send(operation(), 'GET', '/'), {
    code: 'unavailable',
    message: 'the VMM is gone; GET / was not sent',
  });
});

test('an answer that is no JSON or has no end is an error', async () => {
  await using garbled = await fakeApi((_, socket) => socket.write(reply('200 OK', '<html>')));
  await assert.rejects(garbled.client.send(operation(), 'GET', '/'), { code: 'internal' });

  const chunk = 'x'.repeat(1024 * 1024);
  await using endless = await fakeApi((_, socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n');
    for (let count = 0; count < 8; count++) socket.write(chunk);
  });
  await assert.rejects(endless.client.send(operation(), 'GET', '/'), /without end/);
});
