import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { bytes, send, text } from './http.ts';

type StartMessage = {
  process: { cmd: string; args?: string[]; envs?: Record<string, string>; cwd?: string };
  pty?: { size: { cols: number; rows: number } };
  stdin?: boolean;
};
type PidMessage = {
  process: { pid: number };
  pty?: { size: { cols: number; rows: number } };
  input?: { stdin?: string; pty?: string };
  signal?: string;
};

/** envd as far as the CLI speaks to it; see {@link FakeBackend}. */
export class FakeEnvd implements AsyncDisposable {
  readonly accessToken = 'fake-token';
  /** What the guest sees as `/`. */
  readonly root: string;
  readonly starts: { message: StartMessage; headers: IncomingMessage['headers'] }[] = [];
  /** Sizes of terminals that were asked for since their programs started. */
  readonly resizes: { cols: number; rows: number }[] = [];
  /** When set, ListDir answers with these names instead of the true ones. */
  names: string[] | undefined;
  /** When set, the connection of a stream breaks instead of telling how the program ended. */
  breakStreams = false;
  private readonly children = new Map<number, ChildProcess>();

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<FakeEnvd> {
    return new FakeEnvd(await mkdtemp(join(tmpdir(), 'fake-envd-')));
  }

  get running(): number {
    return this.children.size;
  }

  /** Settles when no program runs that was started before. */
  get idle(): Promise<unknown> {
    return Promise.all([...this.children.values()].map((child) => once(child, 'close')));
  }

  async [Symbol.asyncDispose]() {
    for (const child of this.children.values()) child.kill('SIGKILL');
    await rm(this.root, { recursive: true });
  }

  async answer(request: IncomingMessage, response: ServerResponse) {
    if (request.headers['x-access-token'] !== this.accessToken) {
      return send(response, 401, { code: 'unauthenticated', message: 'the token is wrong' });
    }
    const url = new URL(request.url ?? '', 'http://fake');
    if (url.pathname === '/files') return this.files(request, url, response);
    if (url.pathname === '/process.Process/Start') return this.start(request, response);
    const message = JSON.parse(await text(request)) as never;
    if (url.pathname.startsWith('/process.Process/'))
      return this.control(basename(url.pathname), message, response);
    return this.filesystem(basename(url.pathname), message, response);
  }

  private async start(request: IncomingMessage, response: ServerResponse) {
    const message = JSON.parse((await bytes(request)).subarray(5).toString('utf8')) as StartMessage;
    this.starts.push({ message, headers: request.headers });
    response.setHeader('Content-Type', 'application/connect+json');
    const { cmd, args = [], envs = {}, cwd } = message.process;
    const child = spawn(cmd, args, {
      env: { PATH: process.env.PATH, HOME: this.root, ...envs },
      cwd: cwd ?? this.root,
      stdio: [message.stdin || message.pty ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    const emit = (event: unknown) => response.write(envelope(0, { event }));
    child.on('error', () => {
      response.end(envelope(2, { error: { code: 'not_found', message: `${cmd}: not found` } }));
    });
    child.on('spawn', () => {
      this.children.set(child.pid!, child);
      emit({ start: { pid: child.pid } });
    });
    child.stdin?.on('error', () => {}); // the program does not read
    const name = message.pty ? { out: 'pty', err: 'pty' } : { out: 'stdout', err: 'stderr' };
    child.stdout?.on('data', (data: Buffer) => emit({ data: { [name.out]: data.toString('base64') } }));
    child.stderr?.on('data', (data: Buffer) => emit({ data: { [name.err]: data.toString('base64') } }));
    child.on('close', (exitCode, signal) => {
      if (child.pid === undefined) return;
      this.children.delete(child.pid);
      if (this.breakStreams) return void response.destroy();
      const exited = { ...(exitCode && { exitCode }), exited: true, status: `exit status ${exitCode}` };
      const killed = { exitCode: -1, status: `signal: ${signal === 'SIGKILL' ? 'killed' : signal}` };
      emit({ end: signal ? killed : exited });
      response.end(envelope(2, {}));
    });
  }

  private control(method: string, message: PidMessage, response: ServerResponse) {
    const child = this.children.get(message.process.pid);
    if (!child) return send(response, 404, { code: 'not_found', message: 'no such process' });
    const done = () => send(response, 200, {});
    if (method === 'SendSignal') child.kill(message.signal === 'SIGNAL_SIGKILL' ? 'SIGKILL' : 'SIGTERM');
    if (message.pty) this.resizes.push(message.pty.size);
    if (method === 'CloseStdin') child.stdin?.end();
    if (method !== 'SendInput') return done();
    const data = Buffer.from(message.input?.stdin ?? message.input?.pty ?? '', 'base64');
    // The end of file that a terminal makes of Ctrl-D.
    if (message.input?.pty && data.equals(Buffer.from([4]))) child.stdin?.end(done);
    else child.stdin?.write(data, () => done());
  }

  private async filesystem(method: string, { path }: { path: string }, response: ServerResponse) {
    const here = join(this.root, path);
    const missing = { code: 'not_found', message: `${path} does not exist` };
    if (method === 'MakeDir') {
      await mkdir(here, { recursive: true });
      return send(response, 200, {});
    }
    if (method === 'Stat') {
      const entry = await entryOf(here).catch(() => undefined);
      return entry ? send(response, 200, { entry }) : send(response, 404, missing);
    }
    const names = this.names ?? (await readdir(here));
    const entries = await Promise.all(
      names.map(async (name) => (this.names ? { name, type: 'FILE_TYPE_FILE' } : entryOf(join(here, name)))),
    );
    send(response, 200, { entries });
  }

  private async files(request: IncomingMessage, url: URL, response: ServerResponse) {
    const path = url.searchParams.get('path') ?? '';
    const here = join(this.root, path);
    if (request.method === 'POST') {
      await mkdir(dirname(here), { recursive: true });
      await pipeline(request, createWriteStream(here));
      return send(response, 200, [{ name: basename(here), path, type: 'file' }]);
    }
    const found = await stat(here).catch(() => undefined);
    if (!found?.isFile()) return send(response, 404, { code: 404, message: `${path} does not exist` });
    response.setHeader('Content-Length', found.size);
    await pipeline(createReadStream(here), response);
  }
}

async function entryOf(path: string) {
  const { mode, size } = await stat(path);
  const type = (await stat(path)).isDirectory() ? 'FILE_TYPE_DIRECTORY' : 'FILE_TYPE_FILE';
  return { name: basename(path), type, path, size: String(size), mode: mode & 0o777 };
}

function envelope(flags: number, message: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(json.length, 1);
  return Buffer.concat([head, json]);
}
