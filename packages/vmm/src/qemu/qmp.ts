import type { Socket } from 'node:net';
import { type Operation, race } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { connectWhenReady } from '../control/connect.ts';
import { asFields, asText, type Fields } from '../control/fields.ts';

export type QmpEvent = { event: string; data: Fields };
type Waiting = { resolve: (value: unknown) => void; reject: (error: SandboxError) => void; command: string };

/** The longest line that is read; a full console in base64 takes 88 KB. */
const MAX_LINE = 4 * 1024 * 1024;

/**
 * A connection to QEMU's control socket: one JSON object a line, answered by id
 * (qemu docs/interop/qmp-spec). `closed` settles when the connection ends, with it most often the VMM.
 *
 * The VMM is driven by a hostile guest: what it says is bounded and of any shape, and it may say nothing.
 */
export class Qmp implements Disposable {
  readonly closed: Promise<void>;
  private readonly socket: Socket;
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners = new Set<(event: QmpEvent) => void>();
  private readonly greeted = Promise.withResolvers<void>();
  private nextId = 1;
  private buffered = '';
  private whyClosed = 'the VMM closed its control socket';

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.receive(text));
    socket.on('error', () => {}); // 'close' follows
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    this.greeted.promise.catch(() => {});
    void this.closed.then(() => {
      this.greeted.reject(new SandboxError('unavailable', this.whyClosed));
      for (const { reject, command } of this.waiting.values()) {
        reject(new SandboxError('unavailable', `${this.whyClosed} during ${command}`));
      }
      this.waiting.clear();
    });
  }

  /** Connects as soon as the socket exists; gives up when `alive` says that the VMM is gone. */
  static async open(op: Operation, path: string, alive: () => Promise<boolean>): Promise<Qmp> {
    return Qmp.greet(op, await connectWhenReady(op, path, alive));
  }

  private static async greet(op: Operation, socket: Socket): Promise<Qmp> {
    using held = new DisposableStack();
    const qmp = held.use(new Qmp(socket));
    await race(op, 'vmm greeting', qmp.greeted.promise);
    await qmp.execute(op, 'qmp_capabilities');
    held.move();
    return qmp;
  }

  /**
   * Sends one command and waits for its answer, no longer than the operation lasts: the VMM may then
   * still carry it out.
   */
  async execute(op: Operation, command: string, args?: Fields): Promise<unknown> {
    if (this.socket.destroyed) {
      throw new SandboxError('unavailable', `the VMM is gone; ${command} was not sent`);
    }
    const id = this.nextId++;
    const answer = Promise.withResolvers<unknown>();
    this.waiting.set(id, { ...answer, command });
    this.socket.write(`${JSON.stringify({ execute: command, id, ...(args ? { arguments: args } : {}) })}\n`);
    try {
      return await race(op, command, answer.promise);
    } finally {
      this.waiting.delete(id);
    }
  }

  onEvent(listener: (event: QmpEvent) => void): void {
    this.listeners.add(listener);
  }

  get isClosed(): boolean {
    return this.socket.destroyed;
  }

  private receive(text: string): void {
    const lines = (this.buffered + text).split('\n');
    this.buffered = lines.pop() ?? '';
    for (const line of lines) {
      if (this.socket.destroyed) return;
      if (line.length > MAX_LINE) this.close('the VMM sent a line without end');
      else if (line.trim()) this.dispatch(parseFields(line));
    }
    if (this.buffered.length > MAX_LINE) this.close('the VMM sent a line without end');
  }

  private dispatch(message: Fields | undefined): void {
    if (!message) this.close('the VMM sent what is not a JSON object');
    else if (message.QMP) this.greeted.resolve();
    else if (typeof message.event === 'string')
      this.emit({ event: message.event, data: asFields(message.data) });
    else this.answer(message);
  }

  private emit(event: QmpEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  private answer(message: Fields): void {
    const waiting = typeof message.id === 'number' && this.waiting.get(message.id);
    if (!waiting) return; // nobody waits for it any more
    if ('error' in message) {
      const reason = asText(asFields(message.error).desc) || 'no reason given';
      waiting.reject(new SandboxError('internal', `QEMU refused ${waiting.command}: ${reason}`));
    } else {
      waiting.resolve(message.return);
    }
  }

  private close(why: string): void {
    this.whyClosed = why;
    this.buffered = '';
    this.socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close('the connection to the VMM was closed');
  }
}

function parseFields(line: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
