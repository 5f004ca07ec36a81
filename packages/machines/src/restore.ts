import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  cloneDisk,
  copySparse,
  type HostRoom,
  type OpenRoom,
  type Slot,
  type SlotPool,
} from '@sandbox-backend/host';
import type { Operation } from '@sandbox-backend/kit';
import { SandboxError, vmmDifferences } from '@sandbox-backend/protocol';
import type { Machine, Vmm } from '@sandbox-backend/vmm';
import { BUILD_FILES, INSIDE } from './builds/paths.ts';
import type { Build } from './builds/read.ts';
import { disksOfBuild, hardwareOf, writableDisk } from './hardware.ts';
import { type MachineRecord, machineDirectory, thisProcess, writeRecord } from './ref.ts';
import type { Vmms } from './vmms.ts';

export type MachineDeps = {
  dataRoot: string;
  vmms: Vmms;
  slots: SlotPool;
  openRoom: OpenRoom;
  /** Of every machine that is restored. */
  diskBytesPerSecond: number | undefined;
};

/** A machine with all that it holds on this host; disposing of it frees everything. */
export type HeldMachine = AsyncDisposable & {
  record: MachineRecord;
  machine: Machine;
  room: HostRoom;
  slot: Slot;
};

/**
 * Restores one machine from a build. It is paused when this returns: nothing of it has run.
 *
 * With `ownMemory` its memory is a file of its own, a copy of the build's; see `RestoreSpec` of the VMM.
 *
 * Each thing acquired goes on one stack: a failure at any step releases what came before it, in
 * reverse; success hands the whole stack to the machine, which releases it when it is disposed of.
 */
export async function restoreMachine(
  op: Operation,
  deps: MachineDeps,
  machineId: string,
  build: Build,
  options: { ownMemory?: boolean } = {},
): Promise<HeldMachine> {
  const { manifest } = build;
  const vmm = deps.vmms.find(manifest.vmm.kind);
  checkCompatible(build, vmm);
  await using held = new AsyncDisposableStack();

  const directory = machineDirectory(deps.dataRoot, machineId);
  const roomDirectory = join(directory, 'room');
  await mkdir(roomDirectory, { recursive: true, mode: 0o700 });
  held.defer(() => rm(directory, { recursive: true, force: true }));

  const slot = held.use(await op.phase('slot', () => deps.slots.lease(op)));
  const record: MachineRecord = {
    schema: 1,
    machineId,
    template: manifest.template,
    buildId: manifest.buildId,
    owner: await thisProcess(),
    room: {
      id: machineId,
      directory: roomDirectory,
      readOnly: { [INSIDE.build]: build.directory },
      slot: slot.ref,
      limits: machineLimits(manifest),
    },
  };
  await writeRecord(deps.dataRoot, record);

  const name = writableDisk(manifest.overlay);
  const disk = await op.phase('disk', () =>
    cloneDisk(op, {
      from: join(build.directory, name),
      directory: roomDirectory,
      name: name.replace(/\.ext4$/, ''),
      formats: vmm.traits.diskFormats,
      backing: `${INSIDE.build}/${name}`,
    }),
  );
  const memory = join(build.directory, BUILD_FILES.memory);
  const ownMemory = join(roomDirectory, BUILD_FILES.memory);
  if (options.ownMemory) await op.phase('memory', () => copySparse(op, memory, ownMemory));
  const room = held.use(await op.phase('room', () => deps.openRoom(op, record.room)));
  const machine = held.use(
    await vmm.restore(
      op,
      {
        hardware: hardwareOf(
          manifest,
          disksOfBuild(build.directory, manifest.overlay, disk),
          slot.ref,
          deps.diskBytesPerSecond === undefined ? {} : { diskBytesPerSecond: deps.diskBytesPerSecond },
        ),
        stateFile: join(build.directory, BUILD_FILES.state),
        ...(options.ownMemory ? { memoryFile: ownMemory, ownMemory: true } : { memoryFile: memory }),
      },
      room,
    ),
  );
  record.machine = machine.ref;
  await writeRecord(deps.dataRoot, record);

  const owned = held.move();
  return { record, machine, room, slot, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A VMM has a thread for each vCPU, some for I/O and, without KVM, a translation cache. */
export const machineLimits = (sizes: { vcpus: number; memoryMib: number }) => ({
  memoryMib: sizes.memoryMib + 320,
  vcpus: sizes.vcpus,
  pids: 64 + sizes.vcpus * 2,
});

function checkCompatible(build: Build, vmm: Vmm): void {
  const differences = vmmDifferences(build.manifest.vmm, vmm.identity);
  if (differences.length === 0) return;
  throw new SandboxError(
    'failed_precondition',
    `the snapshot of ${build.manifest.template} does not restore on this host: ${differences.join('; ')}`,
    { hint: 'Build the template again on this host with bin/template-manager.' },
  );
}
