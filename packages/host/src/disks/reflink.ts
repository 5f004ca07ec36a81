import { chmod, constants, copyFile, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Copies by sharing the blocks: a fraction of a millisecond at any size. False when the file system cannot. */
export async function reflink(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    await chmod(to, 0o600); // a copy has the mode of its source, which may be read-only
    return true;
  } catch (caught) {
    await removeUnlessExisted(caught, to);
    if (CANNOT.has((caught as NodeJS.ErrnoException).code ?? '')) return false;
    throw caught;
  }
}

const CANNOT = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EINVAL', 'ENOTTY']);

async function removeUnlessExisted(caught: unknown, path: string): Promise<void> {
  if ((caught as NodeJS.ErrnoException).code !== 'EEXIST') await rm(path, { force: true });
}

const known = new Map<number, boolean>();

/** True when files in this folder can share blocks. Tried once for each file system, then remembered. */
export async function canReflink(directory: string): Promise<boolean> {
  const { dev } = await stat(directory);
  const before = known.get(dev);
  if (before !== undefined) return before;
  const aside = await mkdtemp(join(directory, '.reflink-'));
  try {
    await writeFile(join(aside, 'a'), Buffer.alloc(4096, 1));
    const answer = await reflink(join(aside, 'a'), join(aside, 'b'));
    known.set(dev, answer);
    return answer;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
