import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram, isAlive, killAndWait, type Operation, race, randomId } from '@sandbox-backend/kit';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import { withLog } from '../log-tail.ts';
import type { MachineRef, Room, Vmm } from '../vmm.ts';
import { FakeMachine } from './machine.ts';

/** How things go wrong, or slowly. Times are in milliseconds; what is left out does not happen. */
export type FakeOptions = {
  /** From the launch until the machine is there. */
  startDelayMs?: number;
  /** The VMM prints this and exits with status 1, at boot or at restore. */
  failBoot?: string;
  failRestore?: string;
  /** The VMM is killed this long after it was there, as if from outside. */
  crashAfterMs?: number;
  /** The guest powers off this long after it was there. */
  powerOffAfterMs?: number;
  /** How long saving takes. */
  snapshotDelayMs?: number;
  /** What the guest prints; read once. */
  console?: string;
  /** The program behind each machine: a shell. */
  program?: string;
};

export const FAKE_IDENTITY: VmmIdentity = {
  kind: 'fake',
  version: '1',
  accelerator: 'tcg',
  machine: 'fake',
  cpuModel: 'fake',
};

/** Opens the memory, for others to see that it does so read-only, and then sleeps for ever. */
const PROGRAM = 'exec 3<"$1" || exit 1; echo "$2"; exec sleep infinity';
const FAILING_PROGRAM = 'echo "$1" >&2; exit 1';

/**
 * A VMM without virtual machines: each machine is a process that sleeps, in the room it is given. So pids,
 * exits, kills and recovery are real, and nothing answers at the guest's address.
 */
export function fakeVmm(options: FakeOptions = {}): Vmm {
  return {
    identity: FAKE_IDENTITY,
    traits: {
      diskFormats: ['raw', 'qcow2'],
      generationId: false,
      mapsDisks: false,
      reportsFreePages: false,
      memoryInState: false,
    },

    async boot(op, spec, room) {
      await writeFile(spec.memoryFile, 'memory of a fake machine\n');
      return start(op, options, room, spec.memoryFile, options.failBoot);
    },

    async restore(op, spec, room) {
      await checkState(spec.stateFile);
      await using held = new AsyncDisposableStack();
      const machine = held.use(await start(op, options, room, spec.memoryFile, options.failRestore));
      await op.phase('vmm load', () => machine.pause(op));
      held.move();
      return machine;
    },

    async recover(_op, ref): Promise<FakeMachine | undefined> {
      const alive = await isAlive({ pid: ref.pid, startTime: ref.pidStartTime });
      return alive ? new FakeMachine(ref, options) : undefined;
    },
  };
}

async function start(
  op: Operation,
  options: FakeOptions,
  room: Room,
  memoryFile: string,
  failure: string | undefined,
): Promise<FakeMachine> {
  await using held = new AsyncDisposableStack();
  const vmmLog = join(room.directory, 'vmm.log');
  const marker = `fake VMM started: ${randomId('', 8)}`; // the log may hold that of an earlier one
  const script = failure === undefined ? PROGRAM : FAILING_PROGRAM;
  const args = failure === undefined ? [room.inside(memoryFile), marker] : [failure];
  try {
    const launched = await op.phase('vmm start', async () => {
      const shell = await findProgram(options.program ?? 'sh');
      const command = [shell, '-c', script, 'fake-vmm', ...args];
      return room.launch(op, command, { logFile: vmmLog });
    });
    const controlSocket = join(room.directory, 'fake.sock');
    const ref: MachineRef = { vmm: 'fake', ...launched, controlSocket, vmmLog, memoryFile };
    held.defer(() => killAndWait({ pid: ref.pid, startTime: ref.pidStartTime }));
    await op.phase('vmm connect', async () => {
      await race(op, 'vmm connect', sleep(options.startDelayMs ?? 0, undefined, { signal: op.signal }));
      await started(op, ref, marker);
    });
    held.move();
    return new FakeMachine(ref, options);
  } catch (caught) {
    await held.disposeAsync();
    throw await withLog(caught, vmmLog);
  }
}

async function started(op: Operation, ref: MachineRef, marker: string): Promise<void> {
  const process = { pid: ref.pid, startTime: ref.pidStartTime };
  for (;;) {
    const alive = await isAlive(process);
    if ((await readFile(ref.vmmLog, 'utf8')).includes(marker)) return;
    if (!alive) throw new SandboxError('unavailable', 'the VMM exited before it was there');
    await race(op, 'vmm connect', sleep(5));
  }
}

async function checkState(path: string): Promise<void> {
  const state = await readFile(path, 'utf8').catch(() => '');
  if (state !== FakeMachine.STATE) {
    throw new SandboxError('internal', `the fake VMM could not load the snapshot: ${path}`);
  }
}
