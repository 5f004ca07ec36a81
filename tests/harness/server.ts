import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processStartTime, waitForExit } from '@sandbox-backend/kit';

export const checkout = resolve(import.meta.dirname, '..', '..');
export const dataRoot = process.env.SANDBOX_DATA_ROOT ?? '/var/lib/sandbox-backend-test';

/** Apart from an installation on the same host: other folders, namespaces, addresses and users. */
export const hostEnv = {
  SANDBOX_DATA_ROOT: dataRoot,
  SANDBOX_SUBNET: process.env.SANDBOX_SUBNET ?? '10.169.0.0/16',
  SANDBOX_NETWORK_PREFIX: process.env.SANDBOX_NETWORK_PREFIX ?? 'sbt',
  SANDBOX_UID_BASE: process.env.SANDBOX_UID_BASE ?? '400000',
};

export type TestServer = AsyncDisposable & {
  apiUrl: string;
  sandboxUrl: string;
  /** `HOST:PORT` of the seed's control plane. */
  seedControlAddress: string;
  seedProxyUrl: string;
  /** `HOST:PORT`. */
  sshAddress: string;
  apiKey: string;
  pid: number;
  /** What an E2B client or the CLI needs. */
  env: Record<string, string>;
  /** Ends the server as a power cut would, and starts another on the same data folder and ports. */
  crashAndRestart(): Promise<void>;
  /** SIGTERM, and waits until it is gone. */
  stop(): Promise<void>;
  log(): string;
};

/** Starts a real server on a data folder of the tests' own and free ports; stopping it frees everything. */
export async function startServer(env: Record<string, string> = {}): Promise<TestServer> {
  mkdirSync(dataRoot, { recursive: true });
  const ports = await Promise.all(Array.from({ length: 5 }, freePort));
  const logFile = join(dataRoot, 'server-test.log');
  rmSync(logFile, { force: true });
  const serverEnv = {
    ...process.env,
    ...hostEnv,
    SANDBOX_API_LISTEN: `127.0.0.1:${ports[0]}`,
    SANDBOX_GATEWAY_LISTEN: `127.0.0.1:${ports[1]}`,
    SANDBOX_SEED_CONTROL_LISTEN: `127.0.0.1:${ports[2]}`,
    SANDBOX_SEED_PROXY_LISTEN: `127.0.0.1:${ports[3]}`,
    SANDBOX_SSH_LISTEN: `127.0.0.1:${ports[4]}`,
    SANDBOX_WARM_MACHINES: '0',
    SANDBOX_SPARE_SLOTS: '2',
    ...env,
  };
  const launch = async () => {
    rmSync(join(dataRoot, 'server.json'), { force: true });
    const fd = openSync(logFile, 'a');
    const child = spawn(process.execPath, [join(checkout, 'packages/server/src/main.ts')], {
      env: serverEnv,
      stdio: ['ignore', fd, fd],
    });
    await untilReady(child, logFile);
    return child;
  };
  let child = await launch();
  const gone = async (signal: NodeJS.Signals) => {
    const startTime = await processStartTime(child.pid!);
    if (startTime === undefined) return;
    child.kill(signal);
    await waitForExit({ pid: child.pid!, startTime });
  };
  const info = JSON.parse(readFileSync(join(dataRoot, 'server.json'), 'utf8')) as Pick<
    TestServer,
    'apiUrl' | 'sandboxUrl' | 'seedControlAddress' | 'seedProxyUrl' | 'sshAddress'
  >;
  const apiKey = readFileSync(join(dataRoot, 'api-key'), 'utf8').trim();
  return {
    ...info,
    apiKey,
    get pid() {
      return child.pid!;
    },
    env: {
      E2B_API_URL: info.apiUrl,
      E2B_SANDBOX_URL: info.sandboxUrl,
      E2B_API_KEY: apiKey,
      SANDBOX_DATA_ROOT: dataRoot,
    },
    async crashAndRestart() {
      await gone('SIGKILL');
      child = await launch();
    },
    stop: () => gone('SIGTERM'),
    log: () => readFileSync(logFile, 'utf8'),
    [Symbol.asyncDispose]: () => gone('SIGTERM'),
  };
}

async function untilReady(child: ChildProcess, logFile: string): Promise<void> {
  for (let round = 0; round < 3600; round++) {
    if (existsSync(join(dataRoot, 'server.json'))) return;
    if (child.exitCode !== null) throw new Error(`the server ended:\n${readFileSync(logFile, 'utf8')}`);
    await sleep(50);
  }
  throw new Error(`the server did not start within three minutes:\n${readFileSync(logFile, 'utf8')}`);
}

/** Builds the default template in the tests' data folder, where there is none that fits. */
export function ensureDefaultTemplate(): void {
  const specification = join(checkout, 'packages/template-manager/templates/default-sandbox.json');
  templateManager(['--if-needed', '--template', specification]);
}

export function templateManager(args: string[]): string {
  return execFileSync(join(checkout, 'bin/template-manager'), args, {
    env: { ...process.env, ...hostEnv },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 10 * 60_000,
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
