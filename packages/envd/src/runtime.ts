// Everything that is Bun's and not Node's or the web's.

import type { Pointer } from 'bun:ffi';
import { closeSync, constants, openSync } from 'node:fs';
import type { BunFile, Server, Subprocess } from 'bun';
import { logLine } from './log.ts';

// ---- HTTP ----

export type Peer = (request: Request) => string;

export function serveHttp(
  options: { host: string; port: number },
  answer: (request: Request, peer: Peer) => Response | Promise<Response>,
): { port: number } {
  let server: Server<undefined>;
  const peer: Peer = (request) => server.requestIP(request)?.address ?? '';
  server = Bun.serve({
    hostname: options.host,
    port: options.port,
    idleTimeout: 0, // a stream may be silent for as long as its process is
    maxRequestBodySize: Number.MAX_SAFE_INTEGER, // bodies are streamed, and bounded where they are not
    fetch: (request) => answer(request, peer),
    error: (error) => {
      logLine(`${error.message}`);
      return new Response(JSON.stringify({ code: 500, message: 'internal error' }), { status: 500 });
    },
  });
  return { port: server.port ?? options.port };
}

export type BodyWriter = {
  /** Resolves when the reader has taken it: awaiting this is the back-pressure. */
  write(bytes: Uint8Array): Promise<void>;
  end(): void;
};

/** A response body that is written to; `onCancel` is called when the reader goes away. */
export function streamBody(start: (writer: BodyWriter) => void, onCancel: () => void): ReadableStream {
  const source: Bun.DirectUnderlyingSource = {
    type: 'direct',
    pull(controller) {
      const { promise, resolve } = Promise.withResolvers<void>();
      start({
        async write(bytes) {
          controller.write(bytes);
          await controller.flush(true as never); // true: until the socket has taken it
        },
        end() {
          controller.end();
          resolve();
        },
      });
      return promise;
    },
    cancel: onCancel,
  };
  return new ReadableStream(source as unknown as ConstructorParameters<typeof ReadableStream>[0]);
}

/** A file as a body: its bytes go from the page cache to the socket. */
export const fileBody = (path: string): BunFile => Bun.file(path);

export const sha256 = (text: string) => new Bun.CryptoHasher('sha256').update(text).digest('base64');

// ---- Processes ----

export type Exit = { code: number | null; signal: string | null };

export type Child = {
  readonly pid: number;
  /** Called once, when the process itself has ended; its output may still be in the pipes. */
  onExit: ((exit: Exit) => void) | undefined;
};

export type SpawnSpec = {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  /** Undefined leaves root and root's groups as they are. */
  uid: number | undefined;
  gid: number | undefined;
  /** File descriptors of the child; undefined is /dev/null. They stay open here. */
  stdin: number | undefined;
  stdout: number | undefined;
  stderr: number | undefined;
};

/** Starts a process in a session of its own. Throws the error of the system call when it cannot be run. */
export function spawnChild(spec: SpawnSpec): Child {
  const { held, onExit } = exitOnce();
  const process = Bun.spawn(spec.argv, {
    ...identityOf(spec),
    stdin: spec.stdin ?? 'ignore',
    stdout: spec.stdout ?? 'ignore',
    stderr: spec.stderr ?? 'ignore',
    onExit,
  });
  return held(process.pid);
}

export type Terminal = {
  write(bytes: Uint8Array): void;
  resize(cols: number, rows: number): void;
  close(): void;
};

export type TerminalSpec = Omit<SpawnSpec, 'stdin' | 'stdout' | 'stderr'> & {
  cols: number;
  rows: number;
  onOutput(bytes: Uint8Array): void;
  /** The last program that had the terminal open has closed it. */
  onEnd(): void;
};

/** Starts a process that has a new terminal as its controlling terminal. */
export function spawnInTerminal(spec: TerminalSpec): { child: Child; terminal: Terminal } {
  const { held, onExit } = exitOnce();
  const process = Bun.spawn(spec.argv, {
    ...identityOf(spec),
    terminal: {
      cols: spec.cols,
      rows: spec.rows,
      data: (_, bytes) => spec.onOutput(bytes),
      exit: () => spec.onEnd(),
    },
    onExit,
  });
  return { child: held(process.pid), terminal: process.terminal! };
}

function identityOf(spec: Omit<SpawnSpec, 'stdin' | 'stdout' | 'stderr'>) {
  return {
    env: spec.env,
    cwd: spec.cwd,
    detached: true,
    ...(spec.uid === undefined ? {} : { uid: spec.uid }),
    ...(spec.gid === undefined ? {} : { gid: spec.gid }),
  };
}

/** The exit may come before its listener does. */
function exitOnce() {
  let child: Child | undefined;
  let early: Exit | undefined;
  const onExit = (_: Subprocess, code: number | null, signal: number | string | null) => {
    const exit = { code, signal: signal === null ? null : String(signal) };
    if (child) child.onExit?.(exit);
    else early = exit;
  };
  const held = (pid: number): Child => {
    child = { pid, onExit: undefined };
    if (early) {
      const exit = early;
      setImmediate(() => child?.onExit?.(exit));
    }
    return child;
  };
  return { held, onExit };
}

export type Reader = {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): void;
};

/** Reads a pipe or another descriptor that can be polled. It is opened anew, and `fd` itself is closed. */
export function readDescriptor(fd: number): Reader {
  const reader = Bun.file(`/proc/self/fd/${fd}`).stream().getReader();
  let open = true;
  const release = () => {
    if (open) closeSync(fd);
    open = false;
  };
  return {
    read() {
      const result = reader.read(); // the first one opens the file
      release();
      return result;
    },
    cancel() {
      release();
      reader.cancel().catch(() => {});
    },
  };
}

/** Reads an inotify descriptor, which cannot be opened anew as a pipe can; `cancel` closes it. */
export function readInotify(fd: number): Reader {
  const reader = Bun.file(fd).stream().getReader();
  return {
    read: () => reader.read(),
    cancel() {
      reader.cancel().catch(() => {}); // closes the copy of the descriptor that the stream has
      closeSync(fd);
    },
  };
}

// ---- The C library ----

const O_CLOEXEC = 0o2000000;

/** Memory that calls of the C library read and write. An ArrayBuffer of its own keeps it in one place. */
const memory = Buffer.from(new ArrayBuffer(80 * 1024));
const NAME_AT = 8 * 1024;
const VALUE_AT = 16 * 1024;

type LibC = ReturnType<typeof openLibC>;
let libC: LibC | undefined;
/** Opened at the first use: every call of it is rare, or follows one that is. */
const libc = () => {
  libC ??= openLibC();
  return libC;
};

function openLibC() {
  // Not an import: a program that needs none of this does not load the compiler of the bindings.
  const { dlopen, ptr } = require('bun:ffi') as typeof import('bun:ffi');
  const { symbols } = dlopen('libc.so.6', {
    pipe2: { args: ['ptr', 'i32'], returns: 'i32' },
    clock_settime: { args: ['i32', 'ptr'], returns: 'i32' },
    ioctl: { args: ['i32', 'u64', 'ptr'], returns: 'i32' },
    fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    tcflow: { args: ['i32', 'i32'], returns: 'i32' },
    inotify_init1: { args: ['i32'], returns: 'i32' },
    inotify_add_watch: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
    inotify_rm_watch: { args: ['i32', 'i32'], returns: 'i32' },
    listxattr: { args: ['ptr', 'ptr', 'u64'], returns: 'i64' },
    getxattr: { args: ['ptr', 'ptr', 'ptr', 'u64'], returns: 'i64' },
    setxattr: { args: ['ptr', 'ptr', 'ptr', 'u64', 'i32'], returns: 'i32' },
    removexattr: { args: ['ptr', 'ptr'], returns: 'i32' },
  });
  return { ...symbols, ptr };
}

let address: number | undefined;

const at = (offset: number): Pointer => {
  address ??= libc().ptr(memory);
  return (address + offset) as Pointer;
};

/** Puts a text where the C library can read it. */
function put(offset: number, text: string): Pointer {
  const length = memory.write(`${text}\0`, offset, NAME_AT);
  if (memory[offset + length - 1] !== 0) throw new Error('the path or name is too long');
  return at(offset);
}

/** Loads what `/init` and the first process need, so that it is in the snapshot and not in their time. */
export const warmLibC = () => void libc();

/** A pipe: [end to read, end to write]; neither is inherited by other children. */
export function makePipe(): [number, number] {
  if (libc().pipe2(at(0), O_CLOEXEC) !== 0) throw new Error('pipe2 failed: too many open files');
  return [memory.readInt32LE(0), memory.readInt32LE(4)];
}

const F_SETFL = 4;

/** Has reads and writes of our end of a pipe never block; the other end is not changed by it. */
export const setNonBlocking = (fd: number) => void libc().fcntl(fd, F_SETFL, constants.O_NONBLOCK);

export function setClock(unixNs: bigint): void {
  memory.writeBigInt64LE(unixNs / 1_000_000_000n, 0);
  memory.writeBigInt64LE(unixNs % 1_000_000_000n, 8);
  if (libc().clock_settime(0, at(0)) !== 0) throw new Error('clock_settime failed');
}

const RNDADDENTROPY = 0x40085203;
const RNDRESEEDCRNG = 0x5207;

/** Mixes the bytes into the kernel's random numbers, counts them as entropy and has the generator take them up. */
export function addEntropy(bytes: Uint8Array): void {
  const fd = openSync('/dev/random', constants.O_WRONLY);
  try {
    memory.writeInt32LE(bytes.length * 8, 0);
    memory.writeInt32LE(bytes.length, 4);
    memory.set(bytes, 8);
    const added = libc().ioctl(fd, RNDADDENTROPY, at(0));
    memory.fill(0, 8, 8 + bytes.length);
    if (added !== 0 || libc().ioctl(fd, RNDRESEEDCRNG, null) !== 0)
      throw new Error('the ioctl on /dev/random failed');
  } finally {
    closeSync(fd);
  }
}

const TCOOFF = 0;
const TCOON = 1;

/** Stops or starts what the programs of a terminal print: their writes wait. `fd` is the programs' side. */
export const holdTerminal = (fd: number, hold: boolean) => libc().tcflow(fd, hold ? TCOOFF : TCOON) === 0;

/** inotify: a descriptor to be read with `readInotify`. */
export function openInotify(): number {
  const fd = libc().inotify_init1(O_CLOEXEC | constants.O_NONBLOCK);
  if (fd < 0) throw new Error('inotify_init1 failed: too many watches');
  return fd;
}

/** Adds or changes a watch; undefined when the path is gone or no more watches may be had. */
export function addInotifyWatch(fd: number, path: string, mask: number): number | undefined {
  const watch = libc().inotify_add_watch(fd, put(0, path), mask);
  return watch < 0 ? undefined : watch;
}

export const removeInotifyWatch = (fd: number, watch: number) => void libc().inotify_rm_watch(fd, watch);

const VALUE_BYTES = BigInt(memory.length - VALUE_AT);

/** The names of all extended attributes of a file; none where the file system has none. */
export function listAttributes(path: string): string[] {
  const length = Number(libc().listxattr(put(0, path), at(VALUE_AT), VALUE_BYTES));
  return length <= 0 ? [] : memory.toString('utf8', VALUE_AT, VALUE_AT + length - 1).split('\0');
}

export function getAttribute(path: string, name: string): string | undefined {
  const length = Number(libc().getxattr(put(0, path), put(NAME_AT, name), at(VALUE_AT), VALUE_BYTES));
  return length < 0 ? undefined : memory.toString('utf8', VALUE_AT, VALUE_AT + length);
}

/** False when the file system takes no such attribute. */
export function setAttribute(path: string, name: string, value: string): boolean {
  const length = memory.write(value, VALUE_AT);
  return libc().setxattr(put(0, path), put(NAME_AT, name), at(VALUE_AT), BigInt(length), 0) === 0;
}

export const removeAttribute = (path: string, name: string) =>
  void libc().removexattr(put(0, path), put(NAME_AT, name));

// ---- TCP ----

export type Connection = {
  onData: ((chunk: Buffer) => void) | undefined;
  onDrain: (() => void) | undefined;
  /** The other side sends no more. */
  onEnd: (() => void) | undefined;
  onClose: (() => void) | undefined;
  /** False when the other side takes no more for now: `onDrain` is called when it does. */
  write(bytes: Uint8Array): boolean;
  pause(): void;
  resume(): void;
  /** Sends no more once what was written is gone. */
  end(): void;
  close(): void;
};

const LINGER_SECONDS = 30;

type TcpSocket = import('bun').Socket<Relay>;

class Relay implements Connection {
  onData: ((chunk: Buffer) => void) | undefined;
  onDrain: (() => void) | undefined;
  onEnd: (() => void) | undefined;
  onClose: (() => void) | undefined;
  socket: TcpSocket | undefined;
  private rest: Uint8Array = new Uint8Array(0);
  private ending = false;

  write(bytes: Uint8Array): boolean {
    if (this.rest.length > 0) {
      this.rest = Buffer.concat([this.rest, bytes]);
      return false;
    }
    const written = this.socket?.write(bytes) ?? -1;
    if (written < 0) return true; // it is closed: what is written to it is lost
    if (written < bytes.length) this.rest = Buffer.from(bytes.subarray(written));
    return this.rest.length === 0;
  }

  pause(): void {
    this.socket?.pause();
  }

  resume(): void {
    this.socket?.resume();
  }

  end(): void {
    this.ending = true;
    if (this.rest.length === 0) this.socket?.shutdown();
  }

  close(): void {
    // One that has ended already may still be delivering; a peer that never closes is not waited for.
    if (this.ending) this.socket?.timeout(LINGER_SECONDS);
    else this.socket?.end();
  }

  drained(): void {
    if (this.rest.length > 0) {
      const rest = this.rest;
      this.rest = new Uint8Array(0);
      if (!this.write(rest)) return;
    }
    if (this.ending) this.socket?.shutdown();
    else this.onDrain?.();
  }
}

const relayHandlers = {
  data: (socket: TcpSocket, chunk: Buffer) => socket.data.onData?.(chunk),
  drain: (socket: TcpSocket) => socket.data.drained(),
  end: (socket: TcpSocket) => socket.data.onEnd?.(),
  close: (socket: TcpSocket) => socket.data.onClose?.(),
  error: (socket: TcpSocket) => socket.data.onClose?.(),
  timeout: (socket: TcpSocket) => socket.terminate(),
};

/** Throws when the address is in use. `stop` leaves the connections that were made as they are. */
export function listenTcp(
  options: { host: string; port: number },
  onConnection: (connection: Connection) => void,
): { port: number; stop(): void } {
  const listener = Bun.listen<Relay>({
    hostname: options.host,
    port: options.port,
    allowHalfOpen: true,
    socket: {
      ...relayHandlers,
      open(socket) {
        socket.data = new Relay();
        socket.data.socket = socket;
        onConnection(socket.data);
      },
    },
  });
  return { port: listener.port, stop: () => listener.stop() };
}

/** Undefined when nothing listens there. */
export async function connectTcp(host: string, port: number): Promise<Connection | undefined> {
  const relay = new Relay();
  try {
    await Bun.connect<Relay>({
      hostname: host,
      port,
      data: relay,
      allowHalfOpen: true,
      socket: {
        ...relayHandlers,
        open(socket) {
          relay.socket = socket;
          socket.pause();
        },
      },
    });
    return relay;
  } catch {
    return undefined;
  }
}
