import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { BlockList, connect } from 'node:net';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { ERROR_CODES, type ErrorCode, SandboxError } from '@sandbox-backend/protocol';
import fc from 'fast-check';
import { createFakeNode } from '../../testing/fake-node.ts';
import { openSeed } from '../../testing/open-seed.ts';
import { loadService } from './load-services.ts';
import { startSeedControl } from './start-seed-control.ts';

type Seed = Awaited<ReturnType<typeof openSeed>>;

const bytesOf = (method: string, message: object) =>
  loadService('Sandbox')[method]!.requestSerialize(message);
const CREATE = { templateID: 'base', sandboxID: 'abc', maxInstanceLength: 3, metadata: { key: 'value' } };

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let round = 0; round < 500; round++) {
    if (holds()) return;
    await sleep(10);
  }
  assert.fail(`never: ${what}`);
}

const answers = (seed: Seed) => seed.call('Sandbox', 'List');

test('every error has its status, its text and its hint, and never its log', async () => {
  await using seed = await openSeed();
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    seed.node.options.failStart = new SandboxError(code, 'What went wrong', {
      hint: 'Do this.',
      log: 'secret',
    });
    await assert.rejects(seed.call('Sandbox', 'Create', { templateID: 'base' }), {
      code: ERROR_CODES[code].grpc,
      details: 'What went wrong\nhint: Do this.',
    });
  }
});

test('an error that is not ours is not shown', async () => {
  await using seed = await openSeed();
  seed.node.listOrphans = () => Promise.reject(new Error('/secret/path'));
  await assert.rejects(seed.call('Sandbox', 'List', { orphan: true }), {
    code: status.INTERNAL,
    details: 'The server failed to handle the request\nhint: Its log says why.',
  });
});

test('a text of any length and kind arrives as an error', async () => {
  await using seed = await openSeed();
  const texts = [
    'x'.repeat(100_000),
    'ü'.repeat(50_000),
    `a${'\u{1f600}'.repeat(200)}`,
    '\r\n\0%00',
    '\ud800',
  ];
  for (const text of texts) {
    await assert.rejects(seed.call('Sandbox', 'Create', { templateID: text }), { code: status.NOT_FOUND });
    await assert.rejects(seed.call('Sandbox', 'Delete', { sandboxID: text }), {
      code: status.INVALID_ARGUMENT,
    });
    seed.node.options.failStart = new SandboxError('unavailable', text);
    await assert.rejects(seed.call('Sandbox', 'Create', { templateID: 'base' }), {
      code: status.UNAVAILABLE,
    });
  }
});

test('metadata that is no text breaks no list', async () => {
  await using seed = await openSeed();
  const metadata = { '\ud800': 'x\udfff' };
  await seed.api.send('POST', '/v2/sandboxes', { templateID: 'base', metadata });
  const { sandboxes } = await seed.call<{ sandboxes: { metadata: object }[] }>('Sandbox', 'List');
  assert.deepEqual(sandboxes[0]?.metadata, { '\ufffd': 'x\ufffd' });
});

test('the deadline of a client ends what it waits for, and leaves nothing', async () => {
  await using seed = await openSeed({ node: createFakeNode({ startMs: 60_000 }) });
  const creating = seed.call('Sandbox', 'Create', CREATE, { deadline: new Date(Date.now() + 300) });
  await assert.rejects(creating, { code: status.DEADLINE_EXCEEDED });
  await until('failed', () => seed.api.deps.rows.find('abc')?.state === 'failed');
  assert.equal(seed.node.list().length, 0);
});

test('a client that cancels takes its sandbox with it', async () => {
  await using seed = await openSeed({ node: createFakeNode({ startMs: 60_000 }) });
  const client = new AbortController();
  const creating = seed.call('Sandbox', 'Create', CREATE, { signal: client.signal });
  const ended = assert.rejects(creating, { code: status.CANCELLED });
  await until('started', () => seed.node.started.length === 1);
  client.abort();
  await ended;
  await until('failed', () => seed.api.deps.rows.find('abc')?.state === 'failed');
});

test('closing ends the calls under way, and waits for them', async () => {
  const seed = await openSeed({ node: createFakeNode({ startMs: 60_000 }) });
  const ended = assert.rejects(seed.call('Sandbox', 'Create', CREATE), { code: status.UNAVAILABLE });
  await until('started', () => seed.node.started.length === 1);
  await seed.control.close();
  assert.equal(seed.api.deps.rows.find('abc')?.state, 'failed');
  await ended;
  await (await startsOn(seed.control.address.port, seed)).close(); // the port is free
  await seed[Symbol.asyncDispose]();
});

const startsOn = (port: number, seed: Seed) =>
  startSeedControl({
    listen: { host: '127.0.0.1', port },
    clients: new BlockList(),
    deps: seed.api.deps,
    teamId: seed.api.team.id,
  });

test('an address in use is said to be, with the setting that changes it', async () => {
  await using seed = await openSeed();
  await assert.rejects(startsOn(seed.control.address.port, seed), {
    code: 'failed_precondition',
    message: /is in use/,
    hint: /SANDBOX_SEED_CONTROL_LISTEN/,
  });
});

test('a client that is not on the list is cut off before it can say anything', async () => {
  await using seed = await openSeed({ networks: ['10.0.0.0/8', 'fd00::/8'] });
  await assert.rejects(answers(seed), { code: status.UNAVAILABLE });
  const socket = connect(seed.control.address.port, '127.0.0.1');
  socket.on('error', () => {});
  let heard = 0;
  socket.on('data', (data) => {
    heard += data.length;
  });
  await once(socket, 'close');
  assert.equal(heard, 0, 'not even the settings of HTTP/2');
});

test('a message that is cut short anywhere is refused, or is one that is whole', async () => {
  await using seed = await openSeed({ node: createFakeNode({ templates: [] }) });
  const whole = bytesOf('Create', CREATE);
  const codes = new Set<number>();
  for (let length = 0; length < whole.length; length++) {
    const error = await seed.send('Sandbox', '/Sandbox/Create', whole.subarray(0, length)).then(
      () => assert.fail(`${length} bytes made a sandbox`),
      (caught: { code: number; details: string }) => caught,
    );
    assert.doesNotMatch(error.details, /\.ts|node_modules|index out/);
    codes.add(error.code);
  }
  assert.deepEqual([...codes].sort(), [status.INVALID_ARGUMENT, status.NOT_FOUND]);
});

test('no bytes make a method fail in another way than with a status of its own', async () => {
  await using seed = await openSeed();
  const paths = [...Object.values(loadService('Sandbox')), ...Object.values(loadService('HostManage'))].map(
    ({ path }) => path,
  );
  const wellFormed = fc.record({
    templateID: fc.string({ unit: 'binary' }),
    sandboxID: fc.string({ unit: 'binary' }),
    maxInstanceLength: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
    metadata: fc.dictionary(fc.string(), fc.string(), { maxKeys: 5 }),
    hypervisorBinaryPath: fc.string(),
  });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
    wellFormed.map((message) => bytesOf('Create', message)),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), bytes, async (path, message) => {
      const error = await seed.send('Sandbox', path, message).then(
        () => undefined,
        (caught: { code: number; details: string }) => caught,
      );
      assert.notEqual(error?.code, status.INTERNAL, `${path} ${error?.details}`);
      assert.notEqual(error?.code, status.UNKNOWN, `${path} ${error?.details}`);
    }),
    { numRuns: 300 },
  );
  await answers(seed);
});

test('metadata named like a part of the language is metadata', async () => {
  await using seed = await openSeed();
  // A map entry with the key "__proto__", which no serializer of an object can write.
  const entry = Buffer.from([0x0a, 9, ...Buffer.from('__proto__'), 0x12, 1, 0x78]);
  const message = Buffer.concat([bytesOf('Create', CREATE), Buffer.from([0x32, entry.length]), entry]);
  await seed.send('Sandbox', '/Sandbox/Create', message);
  assert.equal(({} as Record<string, unknown>).x, undefined);
  const { metadata } = seed.api.deps.rows.find('abc')!;
  assert.equal(metadata.key, 'value');
  assert.equal(Object.getPrototypeOf(metadata), Object.prototype);
});

test('a message that is too large, also when it is packed, is refused', async () => {
  await using seed = await openSeed();
  const large = bytesOf('Create', { ...CREATE, templateID: 'x'.repeat(1_100_000) });
  await assert.rejects(seed.send('Sandbox', '/Sandbox/Create', large), { code: status.RESOURCE_EXHAUSTED });

  const session = connectHttp2(`http://127.0.0.1:${seed.control.address.port}`);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/Sandbox/Create',
    'content-type': 'application/grpc',
    'grpc-encoding': 'gzip',
    te: 'trailers',
  });
  const packed = gzipSync(Buffer.alloc(64 * 2 ** 20));
  const head = Buffer.alloc(5);
  head[0] = 1;
  head.writeUInt32BE(packed.length, 1);
  stream.end(Buffer.concat([head, packed]));
  const trailers = Promise.race([once(stream, 'trailers'), once(stream, 'response')]);
  const [{ 'grpc-status': code }] = (await trailers) as [Record<string, string>];
  assert.equal(Number(code), status.RESOURCE_EXHAUSTED);
  session.destroy();
  await answers(seed);
});

test('what is not HTTP/2 is cut off, and others are served meanwhile', async () => {
  await using seed = await openSeed();
  const { port } = seed.control.address;
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const garbage = [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    randomBytes(4096),
    Buffer.concat([preface, randomBytes(4096)]),
    // The head of a frame of 16 MiB.
    Buffer.concat([preface, Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])]),
  ];
  for (const bytes of garbage) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    socket.write(bytes);
    await once(socket, 'close');
    await answers(seed);
  }
  // Half a frame, and nothing more: it waits, and nobody waits for it.
  const half = connect(port, '127.0.0.1');
  half.on('error', () => {});
  half.write(Buffer.concat([preface, Buffer.from([0, 0, 40, 1])]));
  await answers(seed);
  half.destroy();
});

test('what the services do not have is unimplemented', async () => {
  await using seed = await openSeed();
  for (const path of ['/Sandbox/Nope', '/orchestrator.Sandbox/Create', '/', '/Sandbox/constructor']) {
    await assert.rejects(seed.send('Sandbox', path, Buffer.alloc(0)), { code: status.UNIMPLEMENTED }, path);
  }
});
