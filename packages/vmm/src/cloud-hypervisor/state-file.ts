import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import { asFields, type Fields } from '../control/fields.ts';
import { openOwn } from '../open-own.ts';
import type { SnapshotFiles } from '../vmm.ts';

/** Two files of one snapshot, in one: neither is of use without the other. */
type State = { config: unknown; state: unknown };

/** Some hundred kilobytes; the VMM that wrote it is driven by a hostile guest. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Makes one state file of the folder into which Cloud Hypervisor has saved a machine, and moves its memory out. */
export async function packSnapshot(folder: string, files: SnapshotFiles): Promise<void> {
  const config = await readJson(join(folder, 'config.json'));
  let state = await readJson(join(folder, 'state.json'));
  // Written only for memory that is not in a shared file. It has the layout of such a file, and becomes one.
  const moved = await rename(join(folder, 'memory-ranges'), files.memoryFile).then(
    () => true,
    (caught) => {
      if ((caught as NodeJS.ErrnoException).code !== 'ENOENT') throw SandboxError.from(caught);
      return false;
    },
  );
  if (moved) state = withoutRanges(state);
  await writeFile(files.stateFile, JSON.stringify({ config, state } satisfies State), { flag: 'wx' });
}

export async function readState(stateFile: string): Promise<State> {
  const { config, state } = asFields(JSON.parse(await readFile(stateFile, 'utf8')));
  return { config, state };
}

/** The folder from which Cloud Hypervisor restores. */
export async function unpackSnapshot(folder: string, config: Fields, state: unknown): Promise<void> {
  await mkdir(folder, { mode: 0o755 });
  await writeFile(join(folder, 'config.json'), JSON.stringify(config), { mode: 0o644 });
  await writeFile(join(folder, 'state.json'), JSON.stringify(state), { mode: 0o644 });
}

/** As text: it has integers that are no JavaScript numbers. */
const RANGES = /"memory_ranges":\{"data":\[[^\]]*\]\}/;

/** Empties the list of what is in `memory-ranges`, so that nothing is read from there (vmm/src/memory_manager.rs). */
function withoutRanges(state: unknown): Fields {
  const root = asFields(state);
  const snapshots = asFields(root.snapshots);
  const manager = asFields(snapshots['memory-manager']);
  const data = asFields(manager.snapshot_data);
  const inner = typeof data.state === 'string' ? data.state : '';
  if (!RANGES.test(inner)) {
    throw new SandboxError(
      'internal',
      'the state of a Cloud Hypervisor machine does not say where its memory is',
    );
  }
  const text = inner.replace(RANGES, '"memory_ranges":{"data":[]}');
  return {
    ...root,
    snapshots: { ...snapshots, 'memory-manager': { ...manager, snapshot_data: { ...data, state: text } } },
  };
}

async function readJson(path: string): Promise<unknown> {
  await using file = await openOwn(path);
  const { size } = await file.stat();
  if (size > MAX_BYTES) throw new SandboxError('internal', `${path} of a snapshot has ${size} bytes`);
  return JSON.parse(await file.readFile('utf8'));
}
