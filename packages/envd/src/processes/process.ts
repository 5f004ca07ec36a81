import { closeSync, readSync, writeSync } from 'node:fs';
import { SandboxError } from '@sandbox-backend/protocol';
import type { EventStream } from '../http/event-stream.ts';
import { logLine } from '../log.ts';
import { type Child, type Exit, type Reader, readDescriptor, type Terminal } from '../runtime.ts';
import { dataEvent, endEvent, type OutputKind, startEvent } from './events.ts';
import { type EndEvent, endOf } from './exit-status.ts';
import type { Command } from './launch.ts';

/** A reader that is this far behind while another keeps up is cut off. */
const CUT_OFF_BYTES = 8 * 1024 * 1024;
/** How often, and how often at most, the pipes of a young process are looked into. */
const LOOK_MS = 20;
const LOOKS = 4;
const LOOK_BYTES = 64 * 1024;
const LOOK_ROUNDS = 8;
/** After the process has ended, programs it left behind may hold its output open: it is waited for no longer than this. */
const LEFTOVER_QUIET_MS = 100;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const LEFTOVER_BYTES = 4 * 1024 * 1024;

/** Shared by all: what is read is passed on encoded before anything else is read. */
let lookBuffer: Buffer | undefined;

/** A process that the SDK started, from its start until its exit status is no longer asked for. */
export class GuestProcess {
  readonly pid: number;
  readonly command: Command;
  readonly tag: string | undefined;
  readonly startedAt = Date.now();
  terminal: Terminal | undefined;
  /** The writing end of its standard input; -1 when it has none or it is closed. */
  stdin = -1;
  /** Keeps its output back when no reader can take more. */
  hold: ((on: boolean) => void) | undefined;
  end: EndEvent | undefined;
  endedAt = 0;
  /** Whether somebody has been told how it ended. */
  fetched = false;
  private readonly subscribers = new Set<EventStream>();
  private sources = 0;
  private pipes: readonly [OutputKind, number][] = [];
  private looking: ReturnType<typeof setTimeout> | undefined;
  private held = false;
  /** Resolves when another reader comes, who may have room. */
  private joined: PromiseWithResolvers<void> | undefined;
  private writing: Promise<void> = Promise.resolve();
  private waitingBytes = 0;
  private exit: Exit | undefined;
  private leftoverBytes = 0;
  private quiet: ReturnType<typeof setTimeout> | undefined;
  private onEnd: (process: GuestProcess) => void;

  constructor(
    child: Child,
    command: Command,
    tag: string | undefined,
    onEnd: (process: GuestProcess) => void,
  ) {
    this.pid = child.pid;
    this.command = command;
    this.tag = tag;
    this.onEnd = onEnd;
    child.onExit = (exit) => this.exited(exit);
  }

  subscribe(stream: EventStream): void {
    stream.push(startEvent(this.pid));
    if (this.end) {
      this.fetched = true;
      stream.push(endEvent(this.end));
      stream.end();
    } else {
      this.subscribers.add(stream);
      this.joined?.resolve();
      this.joined = undefined;
    }
  }

  unsubscribe(stream: EventStream): void {
    this.subscribers.delete(stream);
  }

  /**
   * Passes on what comes out of the pipes, which must be non-blocking. Most commands end in a moment: their pipes are
   * looked into, without the streams that waiting for output takes. Those are made for what runs longer.
   */
  follow(pipes: readonly [OutputKind, number][]): void {
    this.pipes = pipes;
    this.sources += pipes.length;
    this.looking = setTimeout(() => this.look(LOOKS), LOOK_MS);
  }

  private look(looksLeft: number): void {
    const busy = this.readAvailable();
    if (this.pipes.length === 0) return;
    if (busy || looksLeft === 1) this.startReading();
    else this.looking = setTimeout(() => this.look(looksLeft - 1), LOOK_MS);
  }

  private startReading(): void {
    const { pipes } = this;
    this.pipes = [];
    for (const [kind, fd] of pipes) void this.read(kind, readDescriptor(fd));
  }

  /** As fast as its fastest reader takes it. */
  private async read(kind: OutputKind, reader: Reader): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (value && value.length > 0) {
          this.publish(kind, value);
          await this.room();
        }
      }
    } catch (caught) {
      logLine(`${kind} of process ${this.pid}: ${(caught as Error).message}`);
    }
    this.removeSource();
  }

  /** Publishes what is in the pipes and closes those that have ended. True when there is more than readers take at once. */
  private readAvailable(): boolean {
    let busy = false;
    this.pipes = this.pipes.filter(([kind, fd]) => {
      const state = this.readPipe(kind, fd);
      if (state === 'busy') busy = true;
      if (state !== 'ended') return true;
      closeSync(fd);
      this.sources--;
      return false;
    });
    return busy;
  }

  private readPipe(kind: OutputKind, fd: number): 'empty' | 'busy' | 'ended' {
    lookBuffer ??= Buffer.allocUnsafe(LOOK_BYTES);
    try {
      for (let round = 0; round < LOOK_ROUNDS; round++) {
        if (this.blocked()) return 'busy';
        const length = readSync(fd, lookBuffer);
        if (length === 0) return 'ended';
        this.publish(kind, lookBuffer.subarray(0, length));
      }
      return 'busy';
    } catch (caught) {
      if ((caught as NodeJS.ErrnoException).code === 'EAGAIN') return 'empty';
      throw caught;
    }
  }

  addSource(): void {
    this.sources++;
  }

  removeSource(): void {
    this.sources--;
    this.finish();
  }

  publish(kind: OutputKind, bytes: Uint8Array): void {
    if (this.exit) this.countLeftover(bytes.length);
    if (this.subscribers.size === 0) return;
    const event = dataEvent(kind, bytes);
    const blocked = this.blocked();
    for (const stream of this.subscribers) {
      if (!blocked && stream.pendingBytes > CUT_OFF_BYTES) {
        this.subscribers.delete(stream);
        stream.end(
          new SandboxError('resource_exhausted', 'the reader was too slow for the output of the process'),
        );
      } else {
        stream.push(event);
      }
    }
    if (this.hold && !this.held && this.blocked()) {
      this.held = true;
      this.hold(true);
      void this.room().then(() => {
        this.held = false;
        if (!this.end) this.hold?.(false);
      });
    }
  }

  /** Resolves when at least one reader can take more, or none is left. */
  async room(): Promise<void> {
    while (this.blocked()) {
      this.joined ??= Promise.withResolvers<void>();
      await Promise.race([this.joined.promise, ...[...this.subscribers].map((stream) => stream.drained())]);
    }
  }

  /** Writes to its standard input, after what was written before; resolves when the kernel has it all. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.waitingBytes + bytes.length > MAX_WAITING_BYTES) {
      throw new SandboxError('resource_exhausted', 'the process does not read what was sent to it before');
    }
    this.waitingBytes += bytes.length;
    const before = this.writing;
    const turn = Promise.withResolvers<void>();
    this.writing = turn.promise;
    try {
      await before;
      await this.writeAll(bytes);
    } finally {
      this.waitingBytes -= bytes.length;
      turn.resolve();
    }
  }

  closeStdin(): void {
    if (this.stdin >= 0) closeSync(this.stdin);
    this.stdin = -1;
  }

  /** Calls back when the process has ended; at once when it has already. */
  onceEnded(callback: () => void): void {
    if (this.end) {
      callback();
      return;
    }
    const before = this.onEnd;
    this.onEnd = (process) => {
      before(process);
      callback();
    };
  }

  /** To the whole group: a shell's children are as much meant as the shell. */
  signal(signal: number): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      try {
        process.kill(this.pid, signal);
      } catch {
        throw new SandboxError('not_found', `process with pid ${this.pid} not found`);
      }
    }
  }

  private blocked(): boolean {
    for (const stream of this.subscribers) if (!stream.full) return false;
    return this.subscribers.size > 0;
  }

  private async writeAll(bytes: Uint8Array): Promise<void> {
    let offset = 0;
    for (let pauseMs = 2; offset < bytes.length; ) {
      if (this.stdin < 0) {
        throw new SandboxError('failed_precondition', 'the standard input of the process is closed');
      }
      try {
        offset += writeSync(this.stdin, bytes, offset, Math.min(bytes.length - offset, 65_536));
        pauseMs = 2;
      } catch (caught) {
        if ((caught as NodeJS.ErrnoException).code !== 'EAGAIN') {
          throw new SandboxError('failed_precondition', 'the process no longer reads its standard input', {
            cause: caught,
          });
        }
        // The pipe is full. A process that never reads must not keep an idle guest busy.
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
        pauseMs = Math.min(pauseMs * 2, 250);
      }
    }
  }

  private exited(exit: Exit): void {
    this.exit = exit;
    if (this.pipes.length > 0) {
      clearTimeout(this.looking);
      this.readAvailable();
      this.startReading(); // of those that programs it left behind hold open
    }
    this.finish();
    if (!this.end) this.waitForQuiet();
  }

  private countLeftover(bytes: number): void {
    this.leftoverBytes += bytes;
    this.waitForQuiet();
  }

  private waitForQuiet(): void {
    if (this.end) return;
    clearTimeout(this.quiet);
    if (this.leftoverBytes > LEFTOVER_BYTES) this.finish(true);
    else
      this.quiet = setTimeout(
        () => (this.blocked() ? this.waitForQuiet() : this.finish(true)),
        LEFTOVER_QUIET_MS,
      );
  }

  /** Ends once the process has exited and its output is read; readers get everything before the end. */
  private finish(impatient = false): void {
    if (!this.exit || this.end || (this.sources > 0 && !impatient)) return;
    clearTimeout(this.quiet);
    this.end = endOf(this.exit);
    this.endedAt = Date.now();
    this.closeStdin();
    this.terminal?.close();
    this.fetched = this.subscribers.size > 0;
    const event = endEvent(this.end);
    for (const stream of this.subscribers) {
      stream.push(event);
      stream.end();
    }
    this.subscribers.clear();
    this.onEnd(this);
  }
}
