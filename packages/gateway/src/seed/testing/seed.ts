import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { networkList } from '@sandbox-backend/kit';
import type { SandboxRoute } from '@sandbox-backend/protocol';
import { WebSocket } from 'ws';
import type { RunningRoute } from '../../link.ts';
import { type SeedProxyOptions, startSeedProxy } from '../start-seed-proxy.ts';

export const ID = '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9';
export const TOKEN = '00112233445566778899aabbccddeeff';
export const PRIVATE_IP = `${ID}.${TOKEN}`;
export const UID = 60_001;

/** Why the dialect cannot be tested with a real envd here; undefined when it can. */
export const whyNot = (): string | undefined =>
  process.getuid?.() !== 0 ? 'envd is tested as root: it starts programs as other users' : undefined;

/** A door that knows one sandbox, whose guest is on this machine's loopback. */
export async function startTestDoor(
  route: Partial<RunningRoute> = {},
  options: Partial<SeedProxyOptions> = {},
) {
  const known = new Map<string, SandboxRoute>([
    [ID, { sandboxId: ID, state: 'running', address: '127.0.0.2', envdPort: 9, pathToken: TOKEN, ...route }],
  ]);
  const door = await startSeedProxy({
    listen: { host: '127.0.0.1', port: 0 },
    clients: networkList(['127.0.0.0/8']),
    resolve: (id) => known.get(id),
    dialLoopback: async () => undefined,
    ...options,
  });
  const { port } = door.address;
  return {
    ...door,
    known,
    port,
    url: `http://127.0.0.1:${port}/${PRIVATE_IP}/49982`,
    [Symbol.asyncDispose]: () => door.close(),
  };
}

export type TestEnvd = AsyncDisposable & { port: number; home: string };

/** A real envd as a program of its own, on a free port of loopback, with a user whose home is `home`. */
export async function startTestEnvd(): Promise<TestEnvd> {
  const folder = await mkdtemp(join(tmpdir(), 'seed-'));
  const home = join(folder, 'home');
  await mkdir(home);
  await chown(home, UID, UID);
  await chmod(folder, 0o755);
  const passwd = `root:x:0:0:root:/root:/bin/bash\nuser:x:${UID}:${UID}::${home}:/bin/bash\n`;
  await writeFile(join(folder, 'passwd'), passwd);
  await writeFile(join(folder, 'group'), `root:x:0:\nuser:x:${UID}:\n`);
  await writeFile(join(folder, 'config.json'), '{}');
  const child = spawn(
    findBun(),
    [
      join(import.meta.dirname, '../../../../envd/src/main.ts'),
      ...['--host', '127.0.0.1', '--port', '0', '--tunnel-port', '0', '--no-system'],
      ...['passwd', 'group'].flatMap((name) => [`--${name}`, join(folder, name)]),
      ...['--config', join(folder, 'config.json'), '--state', join(folder, 'state.json')],
      ...['--start-log', join(folder, 'start.log')],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH ?? '', ENVD_DIR: folder } },
  );
  return {
    port: await portOf(child),
    home,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await once(child, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function findBun(): string {
  const name = process.arch === 'arm64' ? 'bun-linux-aarch64' : 'bun-linux-x64-baseline';
  const file = createRequire(import.meta.url).resolve(`@oven/${name}/package.json`);
  return join(dirname(file), 'bin', 'bun');
}

function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      const match = /listening on (\d+),/.exec(log);
      if (match) resolve(Number(match[1]));
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`envd ended with ${code}: ${log}`)));
  });
}

/** As loose as JSON is: tests look into it. */
// biome-ignore lint/suspicious/noExplicitAny: what a server answered is looked at field by field
export type Message = any;

/** A client of the JSON-RPC, which keeps everything that it hears in the order in which it came. */
export async function connectRpc(httpUrl: string, options: { perMessageDeflate?: boolean } = {}) {
  const socket = new WebSocket(`${httpUrl.replace('http', 'ws')}/ws`, options);
  const heard: Message[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  socket.on('message', (data) => {
    heard.push(JSON.parse(String(data)));
    wake();
  });
  socket.on('close', wake);
  await once(socket, 'open');
  let lastId = 0;

  /** Resolves with the first thing heard that fits; fails when the connection ends first. */
  const hear = async (fits: (message: Message) => boolean): Promise<Message> => {
    for (let at = 0; ; ) {
      if (at > heard.length) at = 0; // a test has thrown away what was heard
      for (; at < heard.length; at++) if (fits(heard[at])) return heard[at];
      if (socket.readyState === WebSocket.CLOSED) throw new Error('the connection ended first');
      await new Promise<void>((resolve) => waiting.add(resolve));
    }
  };
  const ask = (method: string, ...params: unknown[]): Promise<Message> => {
    const id = ++lastId;
    socket.send(JSON.stringify({ jsonrpc: '2.0', method, params, id }));
    return hear((message) => message.id === id);
  };
  return {
    socket,
    heard,
    hear,
    ask,
    call: async (method: string, ...params: unknown[]) => {
      const { result, error } = await ask(method, ...params);
      if (error) throw new Error(`${error.code} ${error.message}`);
      return result;
    },
    /** What came for a subscription so far. */
    notesOf: (subscription: string) =>
      heard
        .filter((message) => message.params?.subscription === subscription)
        .map(({ params }) => params.result),
    note: (subscription: string, fits: (result: Message) => boolean = () => true) =>
      hear((message) => message.params?.subscription === subscription && fits(message.params.result)).then(
        ({ params }) => params.result,
      ),
    async [Symbol.asyncDispose]() {
      socket.terminate();
    },
  };
}
