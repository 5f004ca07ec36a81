import { killAndWait, type Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { boundLog } from '../bound-log.ts';
import { logTail } from '../log-tail.ts';
import type { Machine, MachineExit, MachineRef, MachineState, SnapshotFiles } from '../vmm.ts';
import type { ApiClient } from './api-client.ts';
import { ConsoleFile } from './console-file.ts';
import { endProcess, processOf } from './process.ts';

/** What differs between VMMs with an HTTP API. */
export type MachineVerbs = {
  state(op: Operation, api: ApiClient): Promise<'running' | 'paused'>;
  pause(op: Operation, api: ApiClient): Promise<unknown>;
  resume(op: Operation, api: ApiClient): Promise<unknown>;
  snapshot(op: Operation, api: ApiClient, files: SnapshotFiles): Promise<void>;
  /** Why a VMM that nobody stopped has ended, from the end of its log. */
  explainExit(log: string): MachineExit | Promise<MachineExit>;
};

/** How long a VMM may take to exit after it has closed its control socket. */
const EXIT_PATIENCE_MS = 2000;

/** How much of a console is told with the end of its guest. */
const LAST_WORDS = 1500;

/** A VMM process with an HTTP API. The connection's end and the process's end are one event: `exited`. */
export class ApiMachine implements Machine {
  readonly ref: MachineRef;
  readonly api: ApiClient;
  readonly exited: Promise<MachineExit>;
  private readonly verbs: MachineVerbs;
  private readonly console: ConsoleFile;
  private readonly consoleText = new TextDecoder();
  private ending: MachineExit | undefined;

  constructor(ref: MachineRef, api: ApiClient, verbs: MachineVerbs, consoleFile: string) {
    this.ref = ref;
    this.api = api;
    this.verbs = verbs;
    this.console = new ConsoleFile(consoleFile);
    const bound = boundLog(ref.vmmLog);
    this.exited = api.closed.then(() => {
      bound[Symbol.dispose]();
      this.console[Symbol.dispose]();
      return this.afterClose();
    });
  }

  async state(op: Operation): Promise<MachineState> {
    if (this.api.isClosed) return 'exited';
    return this.verbs.state(op, this.api);
  }

  async pause(op: Operation): Promise<void> {
    if ((await this.state(op)) !== 'paused') await this.verbs.pause(op, this.api);
  }

  async resume(op: Operation): Promise<void> {
    if ((await this.state(op)) !== 'running') await this.verbs.resume(op, this.api);
  }

  async snapshot(op: Operation, files: SnapshotFiles): Promise<void> {
    const state = await this.state(op);
    if (state !== 'paused') {
      throw new SandboxError('failed_precondition', `a machine must be paused to be saved; it is ${state}`, {
        hint: 'Pause it first.',
      });
    }
    try {
      await this.verbs.snapshot(op, this.api, files);
    } catch (caught) {
      throw SandboxError.from(caught);
    }
  }

  async readConsole(_op: Operation): Promise<string> {
    if (this.api.isClosed) throw new SandboxError('unavailable', 'the VMM is gone, and with it the console');
    return this.consoleText.decode(await this.console.read(), { stream: true });
  }

  async kill(): Promise<MachineExit> {
    return this.end({ reason: 'stopped', detail: '' });
  }

  /** Ends a machine whose guest has ended in a way that its VMM makes nothing of. */
  async end(exit: MachineExit): Promise<MachineExit> {
    this.ending ??= exit;
    await killAndWait(processOf(this.ref));
    this.api[Symbol.dispose]();
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /** A VMM that closes its socket is about to be gone; one that is not is no use any more. */
  private async afterClose(): Promise<MachineExit> {
    const { ending } = this; // a kill from now on comes too late to be the reason
    await endProcess(this.ref, EXIT_PATIENCE_MS);
    const printed = String(await this.console.read().catch(() => '')).trim();
    const exit = ending ?? (await this.verbs.explainExit(await logTail(this.ref.vmmLog)));
    // Why a guest ended is most often in what it printed last, and the file goes with the machine.
    if (exit.reason !== 'powered_off' || !printed) return exit;
    return { ...exit, detail: `${exit.detail}; it printed last:\n${printed.slice(-LAST_WORDS)}` };
  }
}
