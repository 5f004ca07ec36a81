import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';

export type QmpEvent = { event: string; data?: Record<string, unknown> };
type Reply = { return?: unknown; error?: { class: string; desc: string } };
type Waiting = { resolve: (value: unknown) => void; reject: (error: SandboxError) => void; command: string };

/**
 * A connection to QEMU's control socket: one JSON object a line, answered by id
 * (qemu docs/interop/qmp-spec). `closed` settles when the connection ends, with it most often the VMM.
 */
export class Qmp implements Disposable {
  readonly closed: Promise<void>;
  private readonly socket: Socket;
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners = new Set<(event: QmpEvent) => void>();
  private nextId = 1;
  private buffered = '';
  private greeted = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.receive(text));
    socket.on('error', () => {}); // 'close' follows
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    this.greeted.promise.catch(() => {});
    void this.closed.then(() => {
      const gone = new SandboxError('unavailable', 'the VMM closed its control socket');
      this.greeted.reject(gone);
      for (const { reject, command } of this.waiting.values()) {
        reject(new SandboxError('unavailable', `the VMM closed its control socket during ${command}`));
      }
      this.waiting.clear();
    });
  }

  /** Connects as soon as the socket exists; gives up when `alive` says that the VMM is gone. */
  static async open(op: Operation, path: string, alive: () => Promise<boolean>): Promise<Qmp> {
    for (let attempt = 0; ; attempt++) {
      op.signal.throwIfAborted();
      const socket = await tryConnect(path);
      if (socket) {
        const qmp = new Qmp(socket);
        try {
          await qmp.greeted.promise;
          await qmp.execute('qmp_capabilities');
          return qmp;
        } catch (caught) {
          qmp[Symbol.dispose]();
          throw caught;
        }
      }
      if (attempt % 10 === 9 && !(await alive())) {
        throw new SandboxError('unavailable', 'the VMM exited before it opened its control socket');
      }
      await sleep(attempt < 100 ? 5 : 50);
    }
  }

  async execute<T = unknown>(command: string, args?: Record<string, unknown>): Promise<T> {
    if (this.socket.destroyed)
      throw new SandboxError('unavailable', `the VMM is gone; ${command} was not sent`);
    const id = this.nextId++;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, command });
    });
    this.socket.write(`${JSON.stringify({ execute: command, id, ...(args ? { arguments: args } : {}) })}\n`);
    return (await answer) as T;
  }

  onEvent(listener: (event: QmpEvent) => void): void {
    this.listeners.add(listener);
  }

  private receive(text: string): void {
    this.buffered += text;
    // The VMM is driven by a hostile guest: what it says is bounded.
    if (this.buffered.length > 4 * 1024 * 1024) this.socket.destroy();
    for (let end = this.buffered.indexOf('\n'); end >= 0; end = this.buffered.indexOf('\n')) {
      const line = this.buffered.slice(0, end);
      this.buffered = this.buffered.slice(end + 1);
      this.dispatch(line);
    }
  }

  private dispatch(line: string): void {
    let message: Reply & { QMP?: unknown; id?: number; event?: string; data?: Record<string, unknown> };
    try {
      message = JSON.parse(line);
    } catch {
      this.socket.destroy();
      return;
    }
    if (message.QMP) {
      this.greeted.resolve();
      return;
    }
    if (message.event) {
      for (const listener of this.listeners) listener(message as QmpEvent);
      return;
    }
    const waiting = this.waiting.get(message.id ?? -1);
    if (!waiting) return;
    this.waiting.delete(message.id!);
    if (message.error) {
      waiting.reject(new SandboxError('internal', `QEMU refused ${waiting.command}: ${message.error.desc}`));
    } else {
      waiting.resolve(message.return);
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}
