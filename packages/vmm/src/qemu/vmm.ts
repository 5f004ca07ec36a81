import { join } from 'node:path';
import { isAlive, killAndWait, type Operation } from '@sandbox-backend/kit';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import type { BootSpec, Hardware, Machine, MachineRef, RestoreSpec, Room, Vmm } from '../vmm.ts';
import { type QemuPaths, qemuArguments } from './arguments.ts';
import { logTail, QemuMachine } from './machine.ts';
import { loadState } from './migrate.ts';
import { Qmp } from './qmp.ts';

/** Drives QEMU: `q35` with emulation, `microvm` with KVM; the identity says which. */
export function qemuVmm(binary: string, identity: VmmIdentity): Vmm {
  const start = async (
    op: Operation,
    room: Room,
    hardware: Hardware,
    paths: Omit<QemuPaths, 'controlSocket' | 'disks'>,
    mode: 'boot' | 'restore',
  ) => {
    const controlSocket = join(room.directory, 'qmp.sock');
    const vmmLog = join(room.directory, 'vmm.log');
    const command = qemuArguments(
      binary,
      identity,
      hardware,
      {
        ...paths,
        controlSocket: room.inside(controlSocket),
        disks: hardware.disks.map((disk) => room.inside(disk.path)),
      },
      mode,
    );
    const launched = await op.phase('vmm start', () => room.launch(op, command, { logFile: vmmLog }));
    const ref: MachineRef = { vmm: 'qemu', ...launched, controlSocket, vmmLog };
    return op.phase('vmm connect', () => attach(op, ref, room.inside.bind(room)));
  };

  return {
    identity,

    boot: (op, spec: BootSpec, room) =>
      start(
        op,
        room,
        spec.hardware,
        {
          memoryFile: room.inside(spec.memoryFile),
          kernel: {
            image: room.inside(spec.kernel),
            initrd: room.inside(spec.initrd),
            commandLine: spec.commandLine,
          },
        },
        'boot',
      ).then(({ machine }) => machine),

    async restore(op, spec: RestoreSpec, room) {
      const { machine, qmp } = await start(
        op,
        room,
        spec.hardware,
        { memoryFile: room.inside(spec.memoryFile) },
        'restore',
      );
      try {
        await op.phase('vmm load', () => loadState(op, qmp, room.inside(spec.stateFile)));
        return machine;
      } catch (caught) {
        const { detail } = await machine.kill();
        throw withLog(caught, detail || (await logTail(machine.ref.vmmLog)));
      }
    },

    async recover(op, ref: MachineRef, room): Promise<Machine | undefined> {
      if (!(await isAlive({ pid: ref.pid, startTime: ref.pidStartTime }))) return undefined;
      const { machine } = await attach(op, ref, room.inside.bind(room));
      return machine;
    },
  };
}

/** Ready, or gone: a VMM that dies before it answers is reported with its own log. */
async function attach(op: Operation, ref: MachineRef, inside: (path: string) => string) {
  const process = { pid: ref.pid, startTime: ref.pidStartTime };
  try {
    const qmp = await Qmp.open(op, ref.controlSocket, () => isAlive(process));
    return { qmp, machine: new QemuMachine(ref, qmp, inside) };
  } catch (caught) {
    await killAndWait(process);
    throw withLog(caught, await logTail(ref.vmmLog));
  }
}

function withLog(caught: unknown, log: string): SandboxError {
  const error = SandboxError.from(caught);
  return log ? new SandboxError(error.code, error.message, { cause: caught, log }) : error;
}
