import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Replaces a file so that a reader sees the old content or the new, never a part. With `sync` it is
 * also on the disk before this returns, for what must outlive the machine and not only this process.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: { mode?: number; sync?: boolean } = {},
): Promise<void> {
  const aside = `${path}.${process.pid}.tmp`;
  try {
    await using file = await open(aside, 'w', options.mode ?? 0o644);
    await file.writeFile(data);
    if (options.sync) await file.sync();
  } catch (caught) {
    await rm(aside, { force: true });
    throw caught;
  }
  await rename(aside, path);
  if (options.sync) await syncFolder(dirname(path));
}

/** Makes a rename or a new name in the folder durable. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}
