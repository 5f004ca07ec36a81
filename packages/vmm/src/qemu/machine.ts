import { open } from 'node:fs/promises';
import { killAndWait, type Operation, waitForExit } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Machine, MachineExit, MachineRef, MachineState } from '../vmm.ts';
import { saveState } from './migrate.ts';
import type { Qmp } from './qmp.ts';

/** One QEMU process. The connection's end and the process's end are one event: `exited`. */
export class QemuMachine implements Machine {
  readonly ref: MachineRef;
  readonly exited: Promise<MachineExit>;
  private readonly qmp: Qmp;
  private readonly inside: (path: string) => string;
  private ending: 'stopped' | 'powered_off' | undefined;

  constructor(ref: MachineRef, qmp: Qmp, inside: (path: string) => string) {
    this.ref = ref;
    this.qmp = qmp;
    this.inside = inside;
    qmp.onEvent(({ event, data }) => {
      if (event === 'SHUTDOWN' && data?.['guest'] === true) this.ending ??= 'powered_off';
    });
    this.exited = qmp.closed.then(() => this.afterClose());
  }

  async state(_op: Operation): Promise<MachineState> {
    const { running, status } = await this.qmp.execute<{ running: boolean; status: string }>('query-status');
    if (status === 'internal-error' || status === 'guest-panicked') return 'exited';
    return running ? 'running' : 'paused';
  }

  async pause(_op: Operation): Promise<void> {
    await this.qmp.execute('stop');
  }

  async resume(_op: Operation): Promise<void> {
    await this.qmp.execute('cont');
  }

  async snapshot(op: Operation, stateFile: string): Promise<void> {
    if ((await this.state(op)) !== 'paused') {
      throw new SandboxError('failed_precondition', 'a machine must be paused before it is saved');
    }
    await saveState(op, this.qmp, this.inside(stateFile));
  }

  readConsole(_op: Operation): Promise<string> {
    return this.qmp.execute<string>('ringbuf-read', { device: 'console', size: 65536 });
  }

  async kill(): Promise<MachineExit> {
    this.ending ??= 'stopped';
    await killAndWait({ pid: this.ref.pid, startTime: this.ref.pidStartTime });
    this.qmp[Symbol.dispose]();
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /** QEMU that closes its socket is about to be gone; one that is not is no use any more. */
  private async afterClose(): Promise<MachineExit> {
    const process = { pid: this.ref.pid, startTime: this.ref.pidStartTime };
    const patience = AbortSignal.timeout(2000);
    await waitForExit(process, { signal: patience }).catch(() => killAndWait(process));
    const reason = this.ending ?? 'crashed';
    return { reason, detail: reason === 'crashed' ? await logTail(this.ref.vmmLog) : '' };
  }
}

/** The end of the VMM's own log, for an error that explains itself. */
export async function logTail(path: string, bytes = 4000): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(bytes),
      position: Math.max(0, size - bytes),
    });
    return buffer.toString('utf8', 0, bytesRead).trim();
  } catch {
    return '';
  }
}
