import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Operation, run } from '@sandbox-backend/kit';
import type { SlotRef } from '../host.ts';
import { GUEST } from './addresses.ts';
import { openSlotPool, type SlotPoolOptions } from './pool.ts';

/** For tests of the network: namespaces that pose as the internet and as guests. Needs root. */

export const operation = () => new Operation('test', { timeoutMs: 60_000 });

export const isRoot = process.getuid?.() === 0;

/** One that no other test run on this host uses, and that leaves room for `-<index>`. */
export const testPrefix = () => `t${(process.pid % 36 ** 3).toString(36)}${counter++}`;
let counter = 0;

export async function scratch(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'host-test-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Removes what a failed test left behind. */
export const sweep = (prefix: string): AsyncDisposable => ({
  async [Symbol.asyncDispose]() {
    const names = await readdir('/run/netns').catch(() => []);
    for (const name of names) {
      if (name.startsWith(`${prefix}-`)) await run('ip', ['netns', 'del', name]);
    }
    const table = `sandbox_backend_${prefix}`;
    await run('nft', ['-f', '-'], { input: `table inet ${table} {}\ndelete table inet ${table}\n` });
  },
});

export async function namespace(name: string): Promise<AsyncDisposable> {
  await run('ip', ['netns', 'add', name]);
  return { [Symbol.asyncDispose]: async () => void (await run('ip', ['netns', 'del', name])) };
}

/** Answers on every address of the namespace: HTTP with the caller's address, and UDP port 53 with `pong`. */
export async function serve(name: string, port: number): Promise<AsyncDisposable> {
  const child = spawn('nsenter', [`--net=/run/netns/${name}`, process.execPath, '-e', SERVER, `${port}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return { [Symbol.asyncDispose]: () => end(child) };
}

// A UDP answer must come from the address that was asked: one socket for each.
const SERVER = `
const port = Number(process.argv[1]);
const own = Object.values(require('os').networkInterfaces()).flat().filter((a) => a.family === 'IPv4');
const bound = own.map(({ address }) => new Promise((done) => {
  const udp = require('dgram').createSocket('udp4');
  udp.on('message', (_, from) => udp.send('pong', from.port, from.address));
  udp.bind(53, address, done);
}));
Promise.all(bound).then(() =>
  require('http').createServer((q, r) => r.end(q.socket.remoteAddress)).listen(port, '0.0.0.0', () => console.log('ready')));`;

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/**
 * Tries each target (`tcp:1.2.3.4:80` or `udp:1.2.3.4:53`) from inside a namespace, all at once.
 * The answer is what the server said, or undefined when none came.
 */
export async function reach<T extends string>(
  name: string,
  targets: readonly T[],
): Promise<Record<T, string | undefined>> {
  const { stdout } = await promisify(execFile)('nsenter', [
    `--net=/run/netns/${name}`,
    process.execPath,
    '-e',
    CLIENT,
    ...targets,
  ]);
  return JSON.parse(stdout);
}

const CLIENT = `
const waitMs = 1500;
const tcp = (host, port) => new Promise((done) => {
  const request = require('http').get({ host, port, timeout: waitMs }, (answer) => {
    let text = ''; answer.on('data', (d) => text += d).on('end', () => done(text));
  });
  request.on('error', () => done()).on('timeout', () => request.destroy());
});
const udp = (host, port) => new Promise((done) => {
  const socket = require('dgram').createSocket('udp4');
  const finish = (text) => { clearTimeout(timer); socket.close(); done(text); };
  const timer = setTimeout(finish, waitMs);
  socket.on('message', (d) => finish(String(d))).on('error', () => finish());
  socket.send('ping', port, host, (e) => e && finish());
});
Promise.all(process.argv.slice(1).map(async (target) => {
  const [kind, host, port] = target.split(':');
  return [target, await (kind === 'tcp' ? tcp : udp)(host, Number(port))];
})).then((all) => console.log(JSON.stringify(Object.fromEntries(all))));`;

export const OUTSIDE = {
  /** Stands for a server in the internet. */
  public: '11.22.33.44',
  /** This host as the internet sees it. */
  host: '11.22.33.1',
  /** A machine of this host's LAN. */
  lan: '192.168.77.7',
  /** The name server of that LAN. */
  nameserver: '10.99.99.53',
  metadata: '169.254.169.254',
};

/** A namespace behind an interface of this host, with a server on every address of {@link OUTSIDE}. */
export async function outside(
  prefix: string,
): Promise<{ namespace: string; interface: string } & AsyncDisposable> {
  await using held = new AsyncDisposableStack();
  const name = `${prefix}out`;
  held.use(await namespace(name));
  await run('ip', ['-batch', '-'], {
    input: `link add ${name} type veth peer name eth0 netns ${name}
addr add ${OUTSIDE.host}/24 dev ${name}
link set ${name} up
route add ${OUTSIDE.lan} dev ${name}
route add ${OUTSIDE.nameserver} dev ${name}
route add ${OUTSIDE.metadata} dev ${name}
`,
  });
  // The kernel takes its time to remove what was in a namespace.
  held.defer(async () => void (await run('ip', ['link', 'del', name])));
  await run('ip', ['-n', name, '-batch', '-'], {
    input: `link set lo up
addr add ${OUTSIDE.public}/24 dev eth0
${[OUTSIDE.lan, OUTSIDE.nameserver, OUTSIDE.metadata].map((address) => `addr add ${address}/32 dev eth0`).join('\n')}
link set eth0 up
route add default via ${OUTSIDE.host}
`,
  });
  held.use(await serve(name, 8080));
  const owned = held.move();
  return { namespace: name, interface: name, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Slots whose guests are namespaces `<slot>g`, joined by a veth pair in the place of the tap. */
export async function poolWithGuests(
  prefix: string,
  options: Partial<SlotPoolOptions> & { stateDir: string },
) {
  await using held = new AsyncDisposableStack();
  const guests = new Set<string>();
  held.defer(async () => {
    for (const guest of guests) await run('ip', ['netns', 'del', guest]);
  });
  const guestLink = (ref: SlotRef) =>
    `link add ${ref.tap} type veth peer name eth0 address ${ref.mac} netns ${guestOf(ref)}`;
  // The pool makes slots by itself, so the namespaces of their guests exist before.
  for (let index = 0; index < 4; index++) {
    const guest = `${prefix}-${index}g`;
    await run('ip', ['netns', 'add', guest]);
    guests.add(guest);
  }
  const pool = held.use(
    await openSlotPool(operation(), {
      subnet: '10.213.0.0/24',
      namePrefix: prefix,
      spare: 0,
      nameserver: OUTSIDE.nameserver,
      guestLink,
      ...options,
    }),
  );
  const owned = held.move();
  return {
    pool,
    async leaseGuest() {
      const slot = await pool.lease(operation());
      const guest = guestOf(slot.ref);
      await run('ip', ['-n', guest, '-batch', '-'], {
        input: `link set lo up
addr add ${GUEST.address}/${GUEST.prefixLength} dev eth0
link set eth0 up
route add default via ${GUEST.gateway}
`,
      });
      return { slot, guest };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const guestOf = (ref: SlotRef) => `${ref.namespace}g`;
