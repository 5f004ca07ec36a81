import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { killAndWait, type Operation, type ProcessRef, race, waitForExit } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { logTail } from '../log-tail.ts';
import type { Machine, MachineExit, MachineRef, MachineState, SnapshotFiles } from '../vmm.ts';
import type { FakeOptions } from './vmm.ts';

/** A sleeping process that is stopped when paused; its state is the kernel's, so another process finds it again. */
export class FakeMachine implements Machine {
  /** All of a fake machine's device state. */
  static readonly STATE = 'state of a fake machine\n';

  readonly ref: MachineRef;
  readonly exited: Promise<MachineExit>;
  private readonly process: ProcessRef;
  private readonly snapshotDelayMs: number;
  private unread: string;
  private ending: MachineExit | undefined;

  constructor(ref: MachineRef, options: FakeOptions) {
    this.ref = ref;
    this.process = { pid: ref.pid, startTime: ref.pidStartTime };
    this.snapshotDelayMs = options.snapshotDelayMs ?? 0;
    this.unread = options.console ?? '';
    const plans = [
      this.endAfter(options.crashAfterMs),
      this.endAfter(options.powerOffAfterMs, { reason: 'powered_off', detail: 'the guest powered off' }),
    ];
    this.exited = waitForExit(this.process).then(async () => {
      for (const plan of plans) clearTimeout(plan);
      return this.ending ?? { reason: 'crashed', detail: await logTail(ref.vmmLog) };
    });
  }

  async state(op: Operation): Promise<MachineState> {
    return race(op, 'state', this.readState());
  }

  async pause(op: Operation): Promise<void> {
    await this.signal(op, 'SIGSTOP', 'paused');
  }

  async resume(op: Operation): Promise<void> {
    await this.signal(op, 'SIGCONT', 'running');
  }

  async snapshot(op: Operation, { stateFile, memoryFile }: SnapshotFiles): Promise<void> {
    const state = await this.state(op);
    if (state !== 'paused') {
      throw new SandboxError('failed_precondition', `a machine must be paused to be saved; it is ${state}`, {
        hint: 'Pause it first.',
      });
    }
    try {
      await race(op, 'save', sleep(this.snapshotDelayMs, undefined, { signal: op.signal }));
      await writeFile(stateFile, FakeMachine.STATE);
      if (memoryFile !== this.ref.memoryFile) await copyFile(this.ref.memoryFile, memoryFile);
    } catch (caught) {
      await rm(stateFile, { force: true });
      throw SandboxError.from(caught);
    }
  }

  async readConsole(op: Operation): Promise<string> {
    if ((await this.state(op)) === 'exited') throw gone('readConsole');
    const text = this.unread;
    this.unread = '';
    return text;
  }

  async kill(): Promise<MachineExit> {
    if ((await this.readState()) !== 'exited') this.ending ??= { reason: 'stopped', detail: '' };
    await killAndWait(this.process);
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /** Nothing but SIGCONT changes a stopped process, so its state says whether the signal has arrived. */
  private async signal(op: Operation, signal: NodeJS.Signals, wanted: MachineState): Promise<void> {
    for (let sent = false; ; await race(op, signal, sleep(1))) {
      const state = await this.state(op);
      if (state === wanted) return;
      if (state === 'exited') throw gone(signal);
      if (!sent) process.kill(this.ref.pid, signal);
      sent = true;
    }
  }

  private async readState(): Promise<MachineState> {
    const stat = await readFile(`/proc/${this.ref.pid}/stat`, 'utf8').catch(() => '');
    // Fields 3 and 22; the command name, in parentheses, may itself hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[19] !== this.ref.pidStartTime || fields[0] === 'Z' || fields[0] === 'X') return 'exited';
    return fields[0] === 'T' ? 'paused' : 'running';
  }

  private endAfter(delayMs: number | undefined, ending?: MachineExit): NodeJS.Timeout | undefined {
    if (delayMs === undefined) return undefined;
    const end = () => {
      this.ending ??= ending;
      void killAndWait(this.process);
    };
    return setTimeout(end, delayMs);
  }
}

const gone = (what: string) => new SandboxError('unavailable', `the VMM is gone; ${what} was not sent`);
