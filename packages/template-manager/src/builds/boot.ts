import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Operation } from '@sandbox-backend/kit';
import {
  BUILD_FILES,
  disksOf,
  type HeldMachine,
  hardwareOf,
  kernelCommandLine,
  type MachineDeps,
  type MachineRecord,
  machineDirectory,
  machineLimits,
  paths,
  thisProcess,
  writableDisk,
  writeRecord,
} from '@sandbox-backend/machines';
import type { Vmm } from '@sandbox-backend/vmm';
import type { Kernel } from '../guest/kernel.ts';

export type BootRequest = {
  machineId: string;
  template: string;
  buildId: string;
  /** The build in the making: its writable disk is here, and its memory comes to be here. */
  directory: string;
  /** Shared with other builds: the machine reads them, and never has them in a folder of its own. */
  envdDisk: string;
  rootfs: { path: string };
  vcpus: number;
  memoryMib: number;
  overlay: boolean;
  kernel: Kernel;
  vmm: Vmm;
  debug: boolean;
};

/** Boots the machine that a snapshot is taken of; it is running, and its guest has not answered yet. */
export async function bootMachine(
  op: Operation,
  deps: MachineDeps,
  request: BootRequest,
): Promise<HeldMachine> {
  const { directory, overlay } = request;
  await using held = new AsyncDisposableStack();
  const recordDirectory = machineDirectory(deps.dataRoot, request.machineId);
  await mkdir(recordDirectory, { recursive: true, mode: 0o700 });
  held.defer(() => rm(recordDirectory, { recursive: true, force: true }));

  const slot = held.use(await op.phase('slot', () => deps.slots.lease(op)));
  const kernelDirectory = join(paths.kernels(deps.dataRoot), request.kernel.version);
  const record: MachineRecord = {
    schema: 1,
    machineId: request.machineId,
    template: request.template,
    buildId: request.buildId,
    owner: await thisProcess(),
    room: {
      id: request.machineId,
      directory,
      readOnly: {
        '/kernel': kernelDirectory,
        '/envd': dirname(request.envdDisk),
        ...(overlay ? { '/rootfs': dirname(request.rootfs.path) } : {}),
      },
      slot: slot.ref,
      limits: machineLimits(request),
    },
  };
  await writeRecord(deps.dataRoot, record);
  const room = held.use(await op.phase('room', () => deps.openRoom(op, record.room)));
  const writable = { path: join(directory, writableDisk(overlay)), format: 'raw' as const };
  const machine = held.use(
    await request.vmm.boot(
      op,
      {
        hardware: hardwareOf(
          request,
          disksOf({ envd: request.envdDisk, rootfs: request.rootfs.path, overlay, writable }),
          slot.ref,
        ),
        kernel: request.kernel.vmlinux,
        initrd: request.kernel.initrd,
        commandLine: kernelCommandLine({
          ...request,
          vmm: request.vmm.identity,
          mapsDisks: request.vmm.traits.mapsDisks,
        }),
        memoryFile: join(directory, BUILD_FILES.memory),
      },
      room,
    ),
  );
  record.machine = machine.ref;
  await writeRecord(deps.dataRoot, record);
  const owned = held.move();
  return { record, machine, room, slot, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
