import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const packageName = process.arch === 'arm64' ? '@oven/bun-linux-aarch64' : '@oven/bun-linux-x64-baseline';

const findBun = () =>
  join(dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)), 'bin', 'bun');

/** Why envd cannot be tested here; undefined when it can. */
export const whyNot = (): string | undefined =>
  process.getuid?.() !== 0 ? 'envd is tested as root: it starts programs as other users' : undefined;

export type TestEnvd = AsyncDisposable & {
  url: string;
  port: number;
  tunnelPort: number;
  pid: number;
  /** A folder of this envd alone; the home of `user` is in it. */
  folder: string;
  home: string;
  readLog(): string;
  readState(): Promise<string>;
  stop(signal: NodeJS.Signals): Promise<void>;
  startAgain(): Promise<TestEnvd>;
};

export type EnvdSettings = { groups?: string; agentDirectory?: string; config?: unknown };

/**
 * Starts envd with Bun on free ports of loopback, with users of its own and without the right to change
 * this machine. `user` has uid 60001 and no other groups; `many` has uid 60002 and is in two more.
 */
export async function startEnvd(settings: EnvdSettings = {}): Promise<TestEnvd> {
  const folder = await mkdtemp(join(tmpdir(), 'envd-'));
  const home = join(folder, 'home');
  await mkdir(home);
  await writeFile(
    join(folder, 'passwd'),
    [
      'root:x:0:0:root:/root:/bin/bash',
      `user:x:60001:60001::${home}:/bin/bash`,
      'many:x:60002:60002::/:/bin/sh',
      `nohome:x:60003:60003::${folder}/never-made:/bin/sh`,
      '',
    ].join('\n'),
  );
  await writeFile(
    join(folder, 'group'),
    'root:x:0:\nuser:x:60001:\nmany:x:60002:\none:x:60044:many\ntwo:x:60027:other,many\n',
  );
  await writeFile(join(folder, 'config.json'), JSON.stringify(settings.config ?? {}));
  await chown(home, 60001, 60001);
  // The users of the test must be able to walk to their home.
  await chmod(folder, 0o755);
  return launch(folder, home, settings);
}

async function launch(folder: string, home: string, settings: EnvdSettings): Promise<TestEnvd> {
  const bun = findBun();
  const argv = [
    bun,
    join(import.meta.dirname, '..', 'main.ts'),
    '--host=127.0.0.1',
    '--port=0',
    '--tunnel-port=0',
    `--passwd=${folder}/passwd`,
    `--group=${folder}/group`,
    `--config=${folder}/config.json`,
    `--state=${folder}/state.json`,
    `--start-log=${folder}/start.log`,
    '--no-system',
  ].flatMap((word) => word.split('='));
  const [program, ...args] = settings.groups
    ? ['/usr/bin/setpriv', '--groups', settings.groups, ...argv]
    : argv;
  const child = spawn(program!, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: process.env.PATH ?? '',
      SECRET_OF_ENVD: 'not for children',
      ENVD_DIR: settings.agentDirectory ?? join(folder, 'no-agent'),
    },
  });
  let log = '';
  const [port, tunnelPort] = await new Promise<[number, number]>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      const match = /listening on (\d+), tunnel on (\d+)/.exec(log);
      if (match) resolve([Number(match[1]), Number(match[2])]);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`envd ended with ${code}: ${log}`)));
  });
  const stop = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    tunnelPort,
    pid: child.pid!,
    folder,
    home,
    readLog: () => log,
    readState: () => readFile(join(folder, 'state.json'), 'utf8'),
    stop,
    startAgain: () => launch(folder, home, settings),
    async [Symbol.asyncDispose]() {
      await stop('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
