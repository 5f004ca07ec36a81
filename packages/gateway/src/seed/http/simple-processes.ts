import { SandboxError } from '@sandbox-backend/protocol';
import { type ProcessOutput, type RunningProcess, sendSignal, startProcess } from '@sandbox-backend/sdk';
import type { Budget } from '../budget.ts';
import type { Client } from '../programs/table.ts';
import { folderOf, loginShell, USER } from '../services/guest.ts';
import { kill } from '../services/process.ts';

/** Of each of the two outputs; what is beyond is read and left out. */
const MAX_OUTPUT_BYTES = 32 * 1024 * 1024;
const MAX_RUNNING = 1024;
/** Results that nobody has asked for. */
const MAX_ENDED = 256;

export type SimpleSpec = { cmd: string; user: string; cwd: string; env: Record<string, string> };
export type SimpleResult = { stdout: string; stderr: string; exit_code: number };

type Collected = { chunks: Buffer[]; bytes: number };
type Simple = {
  result: Promise<SimpleResult>;
  collected: Record<'stdout' | 'stderr', Collected>;
  hasEnded: boolean;
};

/** Processes by their number in the guest, whose output is collected for whoever waits for them. */
export class SimpleProcesses {
  private readonly client: Client;
  private readonly held: Budget;
  /** In the order in which they were started. */
  private readonly processes = new Map<number, Simple>();

  constructor(client: Client, held: Budget) {
    this.client = client;
    this.held = held;
  }

  /** Its number. Errors: as envd reports them, `resource_exhausted` for one too many. */
  async start({ cmd, user, cwd, env }: SimpleSpec): Promise<number> {
    const { endpoint, signal } = this.client;
    this.makeRoom();
    const process = { ...loginShell(cmd), env: { SHELL: '/bin/bash', ...env }, cwd: folderOf(cwd) };
    const running = await startProcess(endpoint, process, { user: user || USER, signal });
    const { pid } = running;
    this.release(pid); // the guest has given the number anew
    const collected = { stdout: { chunks: [], bytes: 0 }, stderr: { chunks: [], bytes: 0 } };
    const simple: Simple = { collected, hasEnded: false, result: this.collect(running, collected) };
    this.processes.set(pid, simple);
    void simple.result.then(() => {
      simple.hasEnded = true;
    });
    return pid;
  }

  /** Its result, once it has ended; undefined when there is no such process. Rejects by the signal. */
  async wait(pid: number, signal: AbortSignal): Promise<SimpleResult | undefined> {
    const simple = this.processes.get(pid);
    if (!simple) return undefined;
    const { promise: gone, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(new SandboxError('canceled', 'nobody waits any more'));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      return await Promise.race([simple.result, gone]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** False when there is no such process. */
  async kill(pid: number): Promise<boolean> {
    if (!this.processes.has(pid)) return false;
    const { endpoint, signal } = this.client;
    await kill(() => sendSignal(endpoint, pid, 'SIGKILL', { signal }));
    return true;
  }

  /** The result has arrived. */
  forget(pid: number, result: SimpleResult): void {
    void this.processes.get(pid)?.result.then((current) => {
      if (current === result) this.release(pid);
    });
  }

  private async collect({ output }: RunningProcess, collected: Simple['collected']): Promise<SimpleResult> {
    let exitCode = -1;
    try {
      let next = await output.next();
      for (; !next.done; next = await output.next()) this.keep(collected, next.value);
      exitCode = next.value.exitCode;
    } catch {
      // The sandbox is gone, or the connection: how the process ended is not known.
    }
    const textOf = ({ chunks }: Collected) => Buffer.concat(chunks).toString('utf8');
    return { stdout: textOf(collected.stdout), stderr: textOf(collected.stderr), exit_code: exitCode };
  }

  private keep(collected: Simple['collected'], { type, data }: ProcessOutput): void {
    if (type === 'pty') return;
    const of = collected[type];
    if (of.bytes + data.length > MAX_OUTPUT_BYTES || !this.held.tryTake(data.length)) return;
    of.chunks.push(data);
    of.bytes += data.length;
  }

  private release(pid: number): void {
    const simple = this.processes.get(pid);
    if (!simple) return;
    this.processes.delete(pid);
    this.held.give(simple.collected.stdout.bytes + simple.collected.stderr.bytes);
  }

  private makeRoom(): void {
    const ended = [...this.processes].filter(([, { hasEnded }]) => hasEnded);
    for (const [pid] of ended.slice(0, -MAX_ENDED)) this.release(pid);
    if (this.processes.size - ended.length >= MAX_RUNNING) {
      throw new SandboxError('resource_exhausted', 'resource temporarily unavailable');
    }
  }
}
