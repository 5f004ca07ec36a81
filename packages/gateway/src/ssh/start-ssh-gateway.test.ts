import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SandboxRoute } from '@sandbox-backend/protocol';
import ssh2 from 'ssh2';
import { type SshGatewayOptions, startSshGateway } from './start-ssh-gateway.ts';

const ID = 'iabcdefghij0123456789';
const KEYS = {
  owner: ssh2.utils.generateKeyPairSync('ed25519'),
  stranger: ssh2.utils.generateKeyPairSync('ed25519'),
  rsa: ssh2.utils.generateKeyPairSync('rsa', { bits: 2048 }),
};

/** A door to one sandbox, whose guest answers that it has nothing, or never. */
async function openDoor(options: Partial<SshGatewayOptions> & { silentGuest?: boolean } = {}) {
  await using held = new AsyncDisposableStack();
  const folder = held.use(await mkdtempDisposable(join(tmpdir(), 'ssh-gateway-')));
  const guest = createServer(
    (_req, res) => void (options.silentGuest || res.writeHead(404).end('{}')),
  ).listen(0, '127.0.0.1');
  await once(guest, 'listening');
  held.defer(() => void guest.close());
  held.defer(() => guest.closeAllConnections());
  const known = [KEYS.owner, KEYS.rsa].map(({ public: line }) => line.split(' ')[1]);
  const asked: string[] = [];
  const route: SandboxRoute = {
    sandboxId: ID,
    state: 'running',
    address: '127.0.0.1',
    envdPort: (guest.address() as AddressInfo).port,
  };
  const gateway = await startSshGateway({
    listen: { host: '127.0.0.1', port: 0 },
    hostKeyFile: join(folder.path, 'key'),
    resolve: (id) => (id === ID ? route : undefined),
    access: {
      hasKey(id, { data }) {
        asked.push(id);
        return id === ID && known.includes(data.toString('base64'));
      },
      hasToken(id, token) {
        asked.push(id);
        return id === ID && token === 'right';
      },
    },
    tunnelPort: 9,
    ...options,
  });
  held.defer(() => gateway.close());
  const owned = held.move();
  const { port } = gateway.address;
  return {
    ...gateway,
    port,
    asked,
    guest,
    /** Resolves with 'ready', or with what is said instead. */
    async enter(config: ssh2.ConnectConfig) {
      const client = new ssh2.Client();
      const outcome = Promise.withResolvers<string>();
      client.on('ready', () => outcome.resolve('ready'));
      client.on('error', (error) => outcome.resolve(error.message));
      client.on('close', () => outcome.resolve('closed'));
      client.connect({ host: '127.0.0.1', port, username: ID, ...config });
      return { client, outcome: await outcome.promise };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const readAll = async (socket: Socket) => {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  await once(socket, 'close');
  return text;
};

test('the keys of the owner and the tokens of the sandbox open, and nothing else', async () => {
  await using door = await openDoor();
  const attempts: [string, ssh2.ConnectConfig][] = [
    ['ready', { privateKey: KEYS.owner.private }],
    ['ready', { privateKey: KEYS.rsa.private }],
    ['ready', { privateKey: KEYS.owner.private, username: `${ID}+root` }],
    ['ready', { password: 'right' }],
    ['refused', { privateKey: KEYS.stranger.private }],
    ['refused', { password: 'wrong' }],
    ['refused', { password: '' }],
    ['refused', {}],
    ['refused', { privateKey: KEYS.owner.private, username: 'iother' }],
    ['refused', { privateKey: KEYS.owner.private, username: 'root' }],
    ['refused', { privateKey: KEYS.owner.private, username: `${ID}+-x` }],
    ['refused', { password: 'right', username: 'iother' }],
  ];
  for (const [expected, config] of attempts) {
    const { client, outcome } = await door.enter(config);
    client.destroy();
    if (expected === 'ready') assert.equal(outcome, 'ready');
    else assert.match(outcome, /authentication methods failed/, JSON.stringify(config.username));
  }
  assert.ok(door.asked.includes('nobody'), 'a name that makes no sense costs what every other does');
});

test('who guesses tokens is shown out', async () => {
  await using door = await openDoor();
  let guesses = 0;
  const { outcome } = await door.enter({
    authHandler: (_left, _partial, next) => {
      guesses += 1;
      next({ type: 'password', username: ID, password: `guess ${guesses}` });
    },
  });
  assert.notEqual(outcome, 'ready');
  assert.ok(guesses <= 8, `${guesses} guesses`);
});

test('garbage, silence and slowness end', async () => {
  await using door = await openDoor({ loginMs: 400 });
  for (const bytes of [
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    'SANDBOX ../../etc\n',
    `SANDBOX ${'i'.repeat(100)}`,
    'SSH-1.5-old\r\n',
    `SSH-2.0-x\r\n${'\xff'.repeat(5000)}`,
    `SSH-2.0-${'x'.repeat(100_000)}`,
    '\0'.repeat(100_000),
    '',
    'S',
    'SSH-2.0-slow\r\n',
  ]) {
    const socket = connect(door.port, '127.0.0.1');
    socket.write(Buffer.from(bytes, 'latin1'));
    assert.match(
      await readAll(socket),
      /^(SSH-2\.0-sandbox-backend\r\n|$)/,
      JSON.stringify(bytes.slice(0, 20)),
    );
  }
  // And the door is still there.
  const { client, outcome } = await door.enter({ password: 'right' });
  assert.equal(outcome, 'ready');
  client.destroy();
});

test('those who do not log in are few', async () => {
  await using door = await openDoor();
  const sockets = Array.from({ length: 60 }, () => connect(door.port, '127.0.0.1'));
  let closed = 0;
  for (const socket of sockets) socket.on('error', () => {}).on('close', () => closed++);
  await Promise.all(sockets.slice(0, 30).map((socket) => once(socket, 'data')));
  await Promise.all(sockets.slice(30).map((socket) => socket.closed || once(socket, 'close')));
  assert.equal(closed, 30);
  for (const socket of sockets) socket.destroy();
});

test('a preface names the sandbox, and the name is then the user', async () => {
  await using door = await openDoor();
  const enter = async (username: string, line: string) => {
    const sock = connect(door.port, '127.0.0.1');
    sock.write(line);
    const { client, outcome } = await door.enter({ sock, username, privateKey: KEYS.owner.private });
    client.destroy();
    return outcome;
  };
  assert.equal(await enter('root', `SANDBOX ${ID}\n`), 'ready');
  assert.notEqual(await enter(`${ID}+root`, `SANDBOX ${ID}\n`), 'ready');
  assert.notEqual(await enter('root', 'SANDBOX iother\n'), 'ready');
});

test('the end of a sandbox ends the connections to it', async () => {
  await using door = await openDoor();
  const { client, outcome } = await door.enter({ password: 'right' });
  assert.equal(outcome, 'ready');
  door.drop('iother');
  const closed = once(client, 'close');
  door.drop(ID);
  await closed;
});

test('the end of a sandbox ends what goes on for a client that has left', { timeout: 10_000 }, async () => {
  await using door = await openDoor({ silentGuest: true });
  const reached = once(door.guest, 'connection');
  const { client } = await door.enter({ password: 'right' });
  client.exec('x', () => {});
  const [connection] = (await reached) as [Socket];
  const closed = once(connection, 'close');
  client.destroy();
  await sleep(300); // the door learns of it
  assert.equal(connection.destroyed, false, 'the program is still to be hung up');
  door.drop(ID);
  await closed;
});

test('what the guest does not do is told on the error stream, with a status', async () => {
  await using door = await openDoor();
  const { client } = await door.enter({ password: 'right' });
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
    client.exec('true', (error, opened) => (error ? reject(error) : resolve(opened))),
  );
  let told = '';
  channel.stderr.on('data', (chunk: Buffer) => {
    told += chunk.toString();
  });
  channel.resume();
  const [[status]] = await Promise.all([once(channel, 'exit'), once(channel, 'close')]);
  assert.match(told, /^sandbox: /);
  assert.equal(status, 127);
  await assert.rejects(
    new Promise((resolve, reject) =>
      client.forwardOut('127.0.0.1', 1, 'localhost', 80, (error, opened) =>
        error ? reject(error) : resolve(opened),
      ),
    ),
  );
  client.destroy();
});

test('a client that ignores its window is cut off', async () => {
  await using door = await openDoor({ silentGuest: true });
  const { client } = await door.enter({ password: 'right' });
  // The program never starts, so nothing is read. (Pieces that fill the window exactly would be dropped.)
  type Inside = { _protocol: { channelData(id: number, data: Buffer): void } };
  client.exec('x', () => {});
  client.on('error', () => {}); // what it was about to send when it was cut off
  const closed = new Promise<void>((resolve) => client.on('close', () => resolve()));
  const flood = setInterval(() => {
    for (let n = 0; n < 64; n++) (client as unknown as Inside)._protocol.channelData(0, Buffer.alloc(30_000));
  }, 5);
  await closed.finally(() => clearInterval(flood));
});
