import { constants } from 'node:fs';
import { copyFile, link, rm } from 'node:fs/promises';
import { killAndWait, type Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { boundLog } from '../bound-log.ts';
import { asFields } from '../control/fields.ts';
import { endProcess, processOf } from '../control/process.ts';
import { logTail } from '../log-tail.ts';
import type { Machine, MachineExit, MachineRef, MachineState, SnapshotFiles } from '../vmm.ts';
import { readConsoleBytes } from './console.ts';
import { saveState } from './migrate.ts';
import type { Qmp } from './qmp.ts';

type Ending = { reason: 'stopped' | 'powered_off'; detail: string };

/** How long QEMU may take to exit after it has closed its control socket. */
const EXIT_PATIENCE_MS = 2000;

/** One QEMU process. The connection's end and the process's end are one event: `exited`. */
export class QemuMachine implements Machine {
  readonly ref: MachineRef;
  readonly exited: Promise<MachineExit>;
  readonly qmp: Qmp;
  private readonly inside: (path: string) => string;
  private readonly consoleText = new TextDecoder();
  private ending: Ending | undefined;

  constructor(ref: MachineRef, qmp: Qmp, inside: (path: string) => string) {
    this.ref = ref;
    this.qmp = qmp;
    this.inside = inside;
    qmp.onEvent(({ event, data }) => {
      if (event !== 'SHUTDOWN' || data.guest !== true) return;
      this.ending ??= { reason: 'powered_off', detail: guestShutdown(data.reason) };
    });
    const bound = boundLog(ref.vmmLog);
    this.exited = qmp.closed.then(() => {
      bound[Symbol.dispose]();
      return this.afterClose();
    });
  }

  async state(op: Operation): Promise<MachineState> {
    return (await this.query(op)).state;
  }

  async pause(op: Operation): Promise<void> {
    await this.qmp.execute(op, 'stop');
  }

  async resume(op: Operation): Promise<void> {
    await this.qmp.execute(op, 'cont');
  }

  async snapshot(op: Operation, { stateFile, memoryFile }: SnapshotFiles): Promise<void> {
    const { state, status } = await this.query(op);
    if (state !== 'paused') {
      throw new SandboxError('failed_precondition', `a machine must be paused to be saved; it is ${state}`, {
        hint: 'Pause it first.',
      });
    }
    if (status === 'postmigrate') {
      // QEMU refuses it too. To let it run for a moment would spoil the first snapshot's memory.
      throw new SandboxError('failed_precondition', 'this machine was saved already and has not run since', {
        hint: 'Use that snapshot, or resume the machine and pause it again.',
      });
    }
    try {
      const memoryInFile = memoryFile === this.ref.memoryFile;
      await saveState(op, this.qmp, this.inside(stateFile), { memoryInFile });
      // The memory of a restored machine is in the state file, over this.
      if (!memoryInFile) await linkOrCopy(this.ref.memoryFile, memoryFile);
    } catch (caught) {
      await rm(stateFile, { force: true }); // never half a snapshot
      throw caught;
    }
  }

  async readConsole(op: Operation): Promise<string> {
    return this.consoleText.decode(await readConsoleBytes(op, this.qmp), { stream: true });
  }

  async kill(): Promise<MachineExit> {
    this.ending ??= { reason: 'stopped', detail: '' };
    await killAndWait(processOf(this.ref));
    this.qmp[Symbol.dispose]();
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  private async query(op: Operation): Promise<{ state: MachineState; status: unknown }> {
    if (this.qmp.isClosed) return { state: 'exited', status: undefined };
    const { running, status } = asFields(await this.qmp.execute(op, 'query-status'));
    // After an internal error of KVM or a panic the vCPUs never run again.
    const over = status === 'internal-error' || status === 'guest-panicked';
    return { state: over ? 'exited' : running === true ? 'running' : 'paused', status };
  }

  /** QEMU that closes its socket is about to be gone; one that is not is no use any more. */
  private async afterClose(): Promise<MachineExit> {
    const { ending } = this; // a kill from now on comes too late to be the reason
    await endProcess(this.ref, EXIT_PATIENCE_MS);
    return ending ?? { reason: 'crashed', detail: await logTail(this.ref.vmmLog) };
  }
}

function guestShutdown(reason: unknown): string {
  if (reason === 'guest-reset') return 'the guest restarted, by request or after a panic';
  return 'the guest powered off';
}

/** A file of a snapshot is never written again, so that one name more is as good as a copy. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  // Never over what is there: the folder is the VMM's, and a link of its making could lead anywhere.
  await link(from, to).catch(() => copyFile(from, to, constants.COPYFILE_EXCL));
}
