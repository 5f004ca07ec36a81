import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operation, randomId } from '@sandbox-backend/kit';
import { BUILD_FILES, type Build, type MachineDeps, restoreMachine } from '@sandbox-backend/machines';

/**
 * Moves the memory that a snapshot has in its state file into a memory file of its own, where a VMM needs that: then
 * its sandboxes share it and start as fast as those of a template. A machine is restored for it, and never runs.
 * The snapshot is not published yet; `directory` is its folder.
 */
export async function compactSnapshot(op: Operation, deps: MachineDeps, build: Build): Promise<void> {
  const { directory, manifest } = build;
  if (!deps.vmms.find(manifest.vmm.kind).traits.memoryInState) return;
  const memory = join(directory, BUILD_FILES.memory);
  const state = join(directory, BUILD_FILES.state);
  await using held = await restoreMachine(op, deps, randomId('b'), build, { ownMemory: true });
  const made = {
    stateFile: join(held.room.directory, BUILD_FILES.state),
    memoryFile: held.machine.ref.memoryFile,
  };
  await held.machine.snapshot(op, made);
  await held.machine.kill(); // it has the memory mapped, and may write it
  await rm(memory);
  await rename(made.memoryFile, memory);
  await rename(made.stateFile, state);
}
