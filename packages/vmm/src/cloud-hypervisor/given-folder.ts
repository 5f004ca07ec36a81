import { constants } from 'node:fs';
import { mkdtemp, open, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

/** A folder of the VMM's own, which may do with it as it likes; `pinned` is a path to it that leads nowhere else. */
export type GivenFolder = AsyncDisposable & { path: string; pinned: string };

/** Makes a folder into which the VMM writes; disposing of it removes the files in it. What else the VMM puts there goes with its room. */
export async function makeGivenFolder(
  prefix: string,
  give: (path: string) => Promise<void>,
): Promise<GivenFolder> {
  const path = await mkdtemp(prefix);
  // Opened while it is root's. By its name it could be a link to anywhere as soon as it is given away.
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const pinned = `/proc/self/fd/${folder.fd}`;
  const dispose = async () => {
    for (const name of await readdir(pinned).catch(() => [])) {
      await rm(join(pinned, name), { force: true }).catch(() => {}); // a folder stays
    }
    await folder.close();
    await rmdir(path).catch(() => {});
  };
  try {
    await give(path);
  } catch (caught) {
    await dispose();
    throw caught;
  }
  return { path, pinned, [Symbol.asyncDispose]: dispose };
}
