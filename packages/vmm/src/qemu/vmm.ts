import { findProgram, isAlive, type Operation } from '@sandbox-backend/kit';
import type { VmmIdentity } from '@sandbox-backend/protocol';
import { processOf } from '../control/process.ts';
import { findMachine, startMachine } from '../control/start.ts';
import type { Hardware, Machine, MachineRef, Room, Vmm } from '../vmm.ts';
import { type QemuPaths, qemuArguments } from './arguments.ts';
import { QemuMachine } from './machine.ts';
import { abandonSave, loadState } from './migrate.ts';
import { Qmp } from './qmp.ts';

type StartSpec = {
  hardware: Hardware;
  memoryFile: string;
  ownMemory?: boolean;
  kernel?: QemuPaths['kernel'];
  stateFile?: string;
};

/** Drives QEMU: `q35` with emulation, `microvm` with KVM; the identity says which. */
export function qemuVmm(binary: string, identity: VmmIdentity): Vmm {
  return {
    identity,

    traits: {
      diskFormats: ['raw', 'qcow2'],
      generationId: !identity.machine.startsWith('microvm'),
      mapsDisks: false,
      // It cannot give back what is mapped from a file that it may not write.
      reportsFreePages: false,
      memoryInState: true,
    },

    boot: (op, { hardware, memoryFile, ...guest }, room) =>
      start(op, binary, identity, room, {
        hardware,
        memoryFile,
        kernel: {
          image: room.inside(guest.kernel),
          initrd: room.inside(guest.initrd),
          commandLine: guest.commandLine,
        },
      }),

    restore: (op, spec, room) => start(op, binary, identity, room, spec),

    recover: (op, ref, room) =>
      findMachine(ref, async (found) => {
        const machine = await connect(op, found, room);
        await abandonSave(op, machine.qmp);
        return machine;
      }),
  };
}

const start = (
  op: Operation,
  binary: string,
  identity: VmmIdentity,
  room: Room,
  { hardware, memoryFile, ownMemory, kernel, stateFile }: StartSpec,
): Promise<Machine> =>
  startMachine(op, room, {
    vmm: 'qemu',
    socket: 'qmp.sock',
    memoryFile,
    command: async (controlSocket) =>
      qemuArguments(
        await findProgram(binary),
        identity,
        hardware,
        {
          controlSocket,
          memoryFile: room.inside(memoryFile),
          disks: hardware.disks.map((disk) => room.inside(disk.path)),
          ...(kernel ? { kernel } : {}),
        },
        kernel ? 'boot' : ownMemory ? 'restore-own' : 'restore',
      ),
    connect: (ref) => connect(op, ref, room),
    ...(stateFile
      ? { load: (machine: QemuMachine) => loadState(op, machine.qmp, stateFile, room.inside) }
      : {}),
  });

async function connect(op: Operation, ref: MachineRef, room: Pick<Room, 'inside'>): Promise<QemuMachine> {
  const qmp = await Qmp.open(op, ref.controlSocket, () => isAlive(processOf(ref)));
  return new QemuMachine(ref, qmp, room.inside.bind(room));
}
