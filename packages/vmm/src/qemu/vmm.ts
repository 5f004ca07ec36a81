import { join } from 'node:path';
import { findProgram, isAlive, type Operation } from '@sandbox-backend/kit';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import { withLog } from '../log-tail.ts';
import type { Hardware, Machine, MachineRef, Room, Vmm } from '../vmm.ts';
import { type QemuPaths, qemuArguments } from './arguments.ts';
import { endProcess, processOf, QemuMachine } from './machine.ts';
import { loadState } from './migrate.ts';
import { Qmp } from './qmp.ts';

type StartSpec = { hardware: Hardware; paths: Pick<QemuPaths, 'memoryFile' | 'kernel'>; stateFile?: string };

/** Drives QEMU: `q35` with emulation, `microvm` with KVM; the identity says which. */
export function qemuVmm(binary: string, identity: VmmIdentity): Vmm {
  return {
    identity,

    boot: (op, spec, room) =>
      start(op, binary, identity, room, {
        hardware: spec.hardware,
        paths: {
          memoryFile: room.inside(spec.memoryFile),
          kernel: {
            image: room.inside(spec.kernel),
            initrd: room.inside(spec.initrd),
            commandLine: spec.commandLine,
          },
        },
      }),

    restore: (op, spec, room) =>
      start(op, binary, identity, room, {
        hardware: spec.hardware,
        paths: { memoryFile: room.inside(spec.memoryFile) },
        stateFile: room.inside(spec.stateFile),
      }),

    async recover(op, ref, room): Promise<Machine | undefined> {
      const alive = () => isAlive(processOf(ref));
      if (!(await alive())) return undefined;
      try {
        const qmp = await Qmp.open(op, ref.controlSocket, alive);
        return new QemuMachine(ref, qmp, room.inside.bind(room));
      } catch (caught) {
        // One that lives and does not answer is left as it is: whose it is, the caller knows.
        if (await alive()) throw await withLog(caught, ref.vmmLog);
        return undefined;
      }
    },
  };
}

/** Ready, or gone: whatever goes wrong, no process is left, and the error has the VMM's own log. */
async function start(
  op: Operation,
  binary: string,
  identity: VmmIdentity,
  room: Room,
  spec: StartSpec,
): Promise<Machine> {
  await using held = new AsyncDisposableStack();
  const controlSocket = controlSocketIn(room.directory);
  const vmmLog = join(room.directory, 'vmm.log');
  try {
    const launched = await op.phase('vmm start', async () => {
      const command = qemuArguments(
        await findProgram(binary),
        identity,
        spec.hardware,
        {
          ...spec.paths,
          controlSocket: room.inside(controlSocket),
          disks: spec.hardware.disks.map((disk) => room.inside(disk.path)),
        },
        spec.stateFile === undefined ? 'boot' : 'restore',
      );
      return room.launch(op, command, { logFile: vmmLog });
    });
    const ref: MachineRef = { vmm: 'qemu', ...launched, controlSocket, vmmLog };
    held.defer(() => endProcess(ref));
    const qmp = await op.phase('vmm connect', () =>
      Qmp.open(op, controlSocket, () => isAlive(processOf(ref))),
    );
    const machine = held.use(new QemuMachine(ref, qmp, room.inside.bind(room)));
    const { stateFile } = spec;
    if (stateFile !== undefined) await op.phase('vmm load', () => loadState(op, qmp, stateFile));
    held.move();
    return machine;
  } catch (caught) {
    await held.disposeAsync(); // the log is complete only then
    throw await withLog(caught, vmmLog);
  }
}

/** sockaddr_un holds 107 bytes and the zero that ends them. */
const MAX_SOCKET_PATH = 107;

function controlSocketIn(directory: string): string {
  const path = join(directory, 'qmp.sock');
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new SandboxError('failed_precondition', `the path of a control socket is too long: ${path}`, {
      hint: `Choose a shorter data folder: ${MAX_SOCKET_PATH} bytes are the most that the kernel takes.`,
    });
  }
  return path;
}
