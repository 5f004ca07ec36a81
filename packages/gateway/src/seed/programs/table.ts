import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { SandboxError } from '@sandbox-backend/protocol';
import {
  connectProcess,
  type EnvdEndpoint,
  type ProcessOutput,
  type ProcessSpec,
  type RunningProcess,
  sendInput,
  startProcess,
} from '@sandbox-backend/sdk';
import type { Outlet } from '../rpc/outlet.ts';
import type { Subscription } from '../rpc/subscription.ts';

const MAX_PROGRAMS = 1024;
const NOTES_PER_TURN = 256;
/** A connection that breaks is not the end of the program: it is looked for again after these pauses. */
const RECONNECT_PAUSES_MS = [100, 500, 2_000, 5_000];

export type Client = { endpoint: EnvdEndpoint; signal: AbortSignal };

/** A notification: to whom, and the JSON of what it says. */
export type Note = { topic: string; result: string };

export type ProgramSpec = {
  process: ProcessSpec;
  user: string;
  /** What subscribers are told of its output, and of its end when nothing comes any more. */
  describe(output: ProcessOutput): Note[];
  describeEnd(exitCode: number): Note[];
};

type Program = {
  /** Its number in the guest, once it runs. */
  pid: Promise<number>;
  /** Resolves when what was sent to it before has arrived. */
  sending: Promise<unknown>;
};

/**
 * The programs of a sandbox by the names that clients gave them. They outlive the connections of their
 * clients; who subscribes to a name hears of whatever has it, then or later.
 */
export class ProgramTable {
  private readonly client: Client;
  private readonly programs = new Map<string, Program>();
  private readonly subscribers = new Map<string, Set<{ topic: string; subscription: Subscription }>>();

  constructor(client: Client) {
    this.client = client;
  }

  has(id: string): boolean {
    return this.programs.has(id);
  }

  subscribe(id: string, topic: string, subscription: Subscription): void {
    const known = this.subscribers.get(id) ?? new Set();
    const subscriber = { topic, subscription };
    this.subscribers.set(id, known.add(subscriber));
    subscription.signal.addEventListener('abort', () => {
      known.delete(subscriber);
      if (known.size === 0 && this.subscribers.get(id) === known) this.subscribers.delete(id);
    });
  }

  /** Starts a program unless one of that name runs. Errors: as envd reports them, `resource_exhausted` for one too many. */
  async start(id: string, spec: ProgramSpec): Promise<void> {
    const known = this.programs.get(id);
    if (known) return void (await known.pid);
    if (this.programs.size >= MAX_PROGRAMS) {
      throw new SandboxError('resource_exhausted', 'resource temporarily unavailable');
    }
    const { endpoint, signal } = this.client;
    const starting = startProcess(endpoint, spec.process, { user: spec.user, signal });
    const pid = starting.then((running) => running.pid);
    this.programs.set(id, { pid, sending: pid.catch(() => undefined) });
    try {
      const running = await starting;
      // The answer to whoever asked for it goes first.
      void setImmediate().then(() => this.follow(id, spec, running));
    } catch (caught) {
      this.programs.delete(id);
      throw caught;
    }
  }

  /** Runs `action` on the program after all that was asked before; undefined when there is no such program. */
  async act<T>(id: string, action: (pid: number) => Promise<T>): Promise<T | undefined> {
    const program = this.programs.get(id);
    if (!program) return undefined;
    const pid = await program.pid;
    return action(pid);
  }

  /** Sends input, in the order in which it is given. False when there is no such program. */
  async send(id: string, type: 'stdin' | 'pty', text: string): Promise<boolean> {
    const program = this.programs.get(id);
    if (!program) return false;
    const { endpoint, signal } = this.client;
    const turn = program.sending.then(async () =>
      sendInput(endpoint, await program.pid, { type, data: Buffer.from(text) }, { signal }),
    );
    program.sending = turn.catch(() => undefined);
    await turn;
    return true;
  }

  /** Passes on what the program says until it ends, as fast as its fastest subscriber takes it. */
  private async follow(id: string, spec: ProgramSpec, first: RunningProcess): Promise<void> {
    let running: RunningProcess | undefined = first;
    let exitCode: number | undefined;
    while (running && exitCode === undefined) {
      const { pid, output } = running;
      try {
        let next = await output.next();
        for (; !next.done; next = await output.next()) {
          await this.tellInTurns(id, spec.describe(next.value));
        }
        exitCode = next.value.exitCode;
      } catch {
        running = await this.find(pid);
      }
    }
    // Output that is held back for a subscription goes before the end, which another one tells.
    await Promise.all([...(this.subscribers.get(id) ?? [])].map(({ subscription }) => subscription.isOpen));
    this.programs.delete(id);
    if (!this.client.signal.aborted) this.tell(id, spec.describeEnd(exitCode ?? -1));
  }

  /** The program after its connection broke; undefined when it, or its sandbox, has ended. */
  private async find(pid: number): Promise<RunningProcess | undefined> {
    const { endpoint, signal } = this.client;
    for (const pauseMs of RECONNECT_PAUSES_MS) {
      try {
        await sleep(pauseMs, undefined, { signal });
        return await connectProcess(endpoint, pid, { signal });
      } catch (caught) {
        if (signal.aborted || SandboxError.from(caught).code === 'not_found') return undefined;
      }
    }
    return undefined;
  }

  /** A chunk may hold a million lines: others get their turn between, and slow readers their time. */
  private async tellInTurns(id: string, notes: readonly Note[]): Promise<void> {
    for (let at = 0; at < notes.length; at += NOTES_PER_TURN) {
      if (at > 0) await setImmediate();
      this.tell(id, notes.slice(at, at + NOTES_PER_TURN));
      await this.room(id);
    }
  }

  private tell(id: string, notes: readonly Note[]): void {
    const subscribers = this.subscribers.get(id) ?? [];
    for (const note of notes) {
      for (const { topic, subscription } of subscribers)
        if (note.topic === topic) subscription.notify(note.result);
    }
    for (const { subscription } of subscribers)
      if (subscription.outlet.isFarBehind) subscription.outlet.cutOff();
  }

  private async room(id: string): Promise<void> {
    for (;;) {
      const outlets = new Set<Outlet>();
      for (const { subscription } of this.subscribers.get(id) ?? []) outlets.add(subscription.outlet);
      if (outlets.size === 0 || [...outlets].some((outlet) => !outlet.isFull)) return;
      await Promise.race([...outlets].map((outlet) => outlet.drained()));
    }
  }
}
