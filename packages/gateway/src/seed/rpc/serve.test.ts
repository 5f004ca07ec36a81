import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { WebSocket, WebSocketServer } from 'ws';
import { Link } from '../../link.ts';
import { Budget } from '../budget.ts';
import { seedSandboxOf } from '../sandbox.ts';
import { connectRpc, ID, PRIVATE_IP, startTestDoor, startTestEnvd, whyNot } from '../testing/seed.ts';
import { type Pace, serveRpc } from './serve.ts';

const upgradeOf = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`;

/** A WebSocket whose frames are written by hand. */
async function connectRaw(port: number, path = `/${PRIVATE_IP}/49982/ws`): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(upgradeOf(path));
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 101 /);
  return socket;
}

/** The head of a masked frame of text; with the mask 0 the bytes are as they are. */
function frameHead(length: number, isFinal = true): Buffer {
  const head = Buffer.alloc(14);
  head.writeUInt8(isFinal ? 0x81 : 0x01, 0);
  head.writeUInt8(0x80 | 127, 1);
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

/** Serves JSON-RPC for a sandbox whose guest is never asked anything. */
async function startServing(pace: Pace, received = new Budget(1_000_000), held = new Budget(1_000_000)) {
  const link = new Link({ sandboxId: ID, state: 'running', address: '127.0.0.2', envdPort: 9 }, undefined);
  const sandbox = { ...seedSandboxOf(link), received, held };
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const webSockets = new WebSocketServer({ server });
  webSockets.on('connection', (webSocket, req) => serveRpc(sandbox, webSocket, req.socket, pace));
  return {
    port: (server.address() as AddressInfo).port,
    received,
    async [Symbol.asyncDispose]() {
      for (const client of webSockets.clients) client.terminate();
      server.close();
      link.cut();
    },
  };
}

const NEVER: Pace = { pingMs: 60_000, silenceMs: 600_000 };

test('a message that is too large closes the connection, with the code for that', async () => {
  await using door = await startTestDoor();
  const rpc = await connectRpc(door.url);
  rpc.socket.on('error', () => {});
  rpc.socket.send(Buffer.alloc(32 * 1024 * 1024 + 1));
  assert.equal((await once(rpc.socket, 'close'))[0], 1009);
  const raw = await connectRaw(door.port);
  raw.write(frameHead(64 * 1024 * 1024));
  await once(raw.resume(), 'close');
});

test('one as large as may be is read', async () => {
  await using door = await startTestDoor();
  await using rpc = await connectRpc(door.url);
  const head = '{"jsonrpc":"2.0","id":1,"method":"x_y","params":["';
  rpc.socket.send(`${head}${'x'.repeat(32 * 1024 * 1024 - head.length - 3)}"]}`);
  assert.equal((await rpc.hear(({ id }) => id === 1)).error.code, -32601);
});

test('an offer to compress is declined, and binary frames are as good as text', async () => {
  await using door = await startTestDoor();
  await using rpc = await connectRpc(door.url, { perMessageDeflate: true });
  assert.equal(rpc.socket.extensions, '');
  rpc.socket.send(Buffer.from('{"jsonrpc":"2.0","id":7,"method":"x_y"}'));
  assert.equal((await rpc.hear(({ id }) => id === 7)).error.code, -32601);
});

test('an idle client is pinged and stays; one that is silent is ended, also within a frame', async () => {
  await using serving = await startServing({ pingMs: 20, silenceMs: 150 });
  const idle = new WebSocket(`ws://127.0.0.1:${serving.port}/`);
  await once(idle, 'open');
  for (let round = 0; round < 15; round++) await once(idle, 'ping');
  assert.equal(idle.readyState, WebSocket.OPEN);
  idle.terminate();
  for (const bytes of [
    '',
    frameHead(1000),
    Buffer.concat([frameHead(1000), Buffer.from('{"half')]),
    frameHead(9, false),
  ]) {
    const silent = await connectRaw(serving.port, '/');
    silent.write(bytes);
    await once(silent.resume(), 'close');
  }
  // What came of them is no longer counted, once the server has seen the end of the last.
  while (!serving.received.tryTake(1_000_000)) await sleep(5);
});

test('what clients of a sandbox leave unfinished has one bound for all of them', async () => {
  await using serving = await startServing(NEVER, new Budget(100_000));
  const first = await connectRaw(serving.port, '/');
  first.write(Buffer.concat([frameHead(90_000), Buffer.alloc(60_000, 'x')]));
  while (serving.received.tryTake(41_000)) {
    serving.received.give(41_000);
    await sleep(5);
  }
  const second = await connectRaw(serving.port, '/');
  second.write(Buffer.concat([frameHead(90_000), Buffer.alloc(60_000, 'x')]));
  await once(second.resume(), 'close');
  assert.equal(first.destroyed, false);
  first.destroy();
});

test('answers that clients have not taken have one bound, and are given back with them', async () => {
  const held = new Budget(1000);
  await using serving = await startServing(NEVER, undefined, held);
  const client = new WebSocket(`ws://127.0.0.1:${serving.port}/`);
  await once(client, 'open');
  const call = (id: number) => ({ jsonrpc: '2.0', id, method: `x_${'y'.repeat(100)}` });
  for (let round = 0; round < 2; round++) {
    client.send(JSON.stringify(Array.from({ length: 50 }, (_, id) => call(id))));
    const [data] = await once(client, 'message');
    const codes = (JSON.parse(String(data)) as { error: { code: number } }[]).map(({ error }) => error.code);
    assert.equal(codes.length, 50);
    assert.equal(codes[0], -32601);
    assert.notEqual(codes[49], -32601);
  }
  client.terminate();
  while (!held.tryTake(1000)) await sleep(5);
});

test('bytes that are no WebSocket end the connection and nothing else', async () => {
  await using door = await startTestDoor();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      const raw = await connectRaw(door.port);
      raw.end(bytes);
      await once(raw.resume(), 'close');
    }),
    { numRuns: 100 },
  );
  await using rpc = await connectRpc(door.url);
  assert.equal((await rpc.ask('x_y')).error.code, -32601);
});

test('any requests at all get an answer each, in the form of the protocol', async () => {
  await using door = await startTestDoor();
  await using rpc = await connectRpc(door.url);
  const method = fc
    .tuple(
      fc.constantFrom('process', 'terminal', 'filesystem', 'codeSnippet', 'x', '__proto__'),
      fc.constantFrom('start', 'subscribe', 'unsubscribe', 'kill', 'data', 'toString', 'read'),
    )
    .map((parts) => parts.join('_'));
  let id = 0;
  await fc.assert(
    // Objects are no parameters of any method, so none of these reaches the guest, which is not there.
    fc.asyncProperty(
      method,
      fc.array(fc.oneof(fc.constant([]), fc.double(), fc.boolean())),
      async (name, params) => {
        const own = `fuzz ${++id}`;
        rpc.socket.send(JSON.stringify({ jsonrpc: '2.0', id: own, method: name, params: [[], ...params] }));
        const answer = await rpc.hear((message) => message.id === own);
        assert.deepEqual(Object.keys(answer).sort(), ['error', 'id', 'jsonrpc']);
        assert.ok([-32601, -32602].includes(answer.error.code));
        rpc.heard.length = 0;
      },
    ),
    { numRuns: 300 },
  );
});

test('only /ws is a WebSocket', async () => {
  await using door = await startTestDoor();
  for (const path of ['/', '/ws/', '//ws', '/ws/../file', '/file', '/WS']) {
    const socket = connect(door.port, '127.0.0.1');
    socket.write(upgradeOf(`/${PRIVATE_IP}/49982${path}`));
    assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 404 /, path);
    socket.destroy();
  }
});

describe('a client that does not read', { skip: whyNot() }, () => {
  test('holds the program back and not our memory, and then gets every line', async () => {
    await using envd = await startTestEnvd();
    await using door = await startTestDoor({ address: '127.0.0.1', envdPort: envd.port });
    await using rpc = await connectRpc(door.url);
    const [stdout, exit] = await Promise.all([
      rpc.call('process_subscribe', 'onStdout', 'p'),
      rpc.call('process_subscribe', 'onExit', 'p'),
    ]);
    rpc.socket.pause();
    const used = () => process.memoryUsage().rss;
    const before = used();
    const lines = 150_000;
    rpc.socket.send(
      JSON.stringify({
        jsonrpc: '2.0',
        id: 'start',
        method: 'process_start',
        params: ['p', `yes ${'x'.repeat(1000)} | head -n ${lines}`, {}, ''],
      }),
    );
    let most = 0;
    for (let round = 0; round < 20; round++) {
      await sleep(100);
      most = Math.max(most, used() - before);
    }
    assert.ok(most < 80 * 1024 * 1024, `${most} bytes more`);
    rpc.socket.resume();
    assert.equal(await rpc.note(exit), 0);
    assert.equal(rpc.notesOf(stdout).length, lines);
  });
});
