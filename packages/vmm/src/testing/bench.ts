import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Operation } from '@sandbox-backend/kit';
import type { BootSpec, Hardware, Machine, RestoreSpec } from '../vmm.ts';
import { Listener, sendCommand, TEST_COMMAND_LINE } from './guest.ts';
import type { VmmHarness } from './harness.ts';
import { type PlainRoom, plainRoom } from './plain-room.ts';
import { TEST_TAP, tapNamespace } from './tap-namespace.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Long enough for a slow host: no test waits for it to pass. */
export const operation = (timeoutMs = 120_000) => new Operation('conformance', { timeoutMs });

/** A room with a network and a disk of its own. */
export type Bench = AsyncDisposable & {
  readonly room: PlainRoom;
  readonly wrapper: readonly string[];
  /** The disk by which the guest is told what to do. */
  readonly disk: string;
  readonly hardware: Hardware;
};

export async function makeBench(harness: VmmHarness): Promise<Bench> {
  await using held = new AsyncDisposableStack();
  const folder = held.use(await temporaryFolder());
  const wrapper = harness.guest ? held.use(await tapNamespace()).wrapper : [];
  const room = held.use(plainRoom(folder.path, { wrapper }));
  const disk = join(folder.path, 'commands');
  await sendCommand(disk, '');
  const owned = held.move();
  return {
    room,
    wrapper,
    disk,
    hardware: {
      vcpus: 1,
      memoryMib: 256,
      disks: [{ id: 'commands', path: disk, format: 'raw', readOnly: false }],
      network: { tap: TEST_TAP, mac: '06:00:ac:10:00:02' },
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export const bootSpec = (harness: VmmHarness, bench: Bench): BootSpec => ({
  hardware: bench.hardware,
  memoryFile: join(bench.room.directory, 'memory'),
  ...(harness.guest ?? { kernel: '/kernel', initrd: '/initrd', commandLine: TEST_COMMAND_LINE }),
});

/** A snapshot of a guest that counts, and what it had printed by then. */
export type Template = { memoryFile: string; stateFile: string; disk: string; printed: string };

export type Restored = AsyncDisposable & { bench: Bench; machine: Machine; console: Listener };

export const restoreSpec = (template: Template, bench: Bench): RestoreSpec => ({
  hardware: bench.hardware,
  memoryFile: template.memoryFile,
  stateFile: template.stateFile,
});

/** Restores a machine on a bench of its own; it is paused. */
export async function restoreOne(harness: VmmHarness, template: Template): Promise<Restored> {
  await using held = new AsyncDisposableStack();
  const bench = held.use(await makeBench(harness));
  await copyFile(template.disk, bench.disk);
  const machine = held.use(await harness.vmm.restore(operation(), restoreSpec(template, bench), bench.room));
  const owned = held.move();
  const console = new Listener(machine);
  return { bench, machine, console, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
