import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireFileLock } from '@sandbox-backend/kit';
import { checkBuildId, isBuildId } from '@sandbox-backend/protocol';
import { paths } from './paths.ts';

export type WorkFolder = AsyncDisposable & { path: string };

/** A folder for a build in the making; it is gone when it is disposed of, or with the next build after a crash. */
export async function openWorkFolder(dataRoot: string, buildId: string): Promise<WorkFolder> {
  await removeAbandoned(dataRoot);
  await using held = new AsyncDisposableStack();
  const path = join(paths.work(dataRoot), checkBuildId(buildId));
  held.use(await acquireFileLock(`${path}.lock`, `the build ${buildId}`));
  await mkdir(path, { mode: 0o700 });
  held.defer(() => rm(path, { recursive: true, force: true }));
  const owned = held.move();
  return { path, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What builds left that were killed: their lock names a process that is no more. */
async function removeAbandoned(dataRoot: string): Promise<void> {
  const folder = paths.work(dataRoot);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter(isBuildId)) {
    try {
      await using _lock = await acquireFileLock(join(folder, `${name}.lock`), name);
      await rm(join(folder, name), { recursive: true, force: true });
    } catch {
      // another process is building there
    }
  }
}
