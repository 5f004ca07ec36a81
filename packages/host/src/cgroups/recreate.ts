import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PARENT } from './cgroup.ts';
import { tryWrite } from './group.ts';
import { findHierarchies } from './hierarchies.ts';

/**
 * Makes the group above all others anew: groups in it that nothing runs in are removed, and it is itself, and with
 * it what it has counted, unless something still runs below it. The next room that is opened switches the controllers on.
 */
export async function recreateParentCgroup(): Promise<void> {
  const { v1, v2 } = findHierarchies(await readFile('/proc/self/mountinfo', 'utf8'));
  const mounts = new Set([...Object.values(v1), v2].filter((mount) => mount !== undefined));
  for (const mount of mounts) {
    const parent = join(mount, PARENT);
    const below = await readdir(parent, { withFileTypes: true }).catch(() => undefined);
    if (!below) continue; // never made in this hierarchy
    for (const entry of below) if (entry.isDirectory()) await rmdir(join(parent, entry.name)).catch(() => {});
    await rmdir(parent).catch(() => {}); // busy while a group below it is: it stays
    await mkdir(parent, { recursive: true });
    if (mount === v2) {
      for (const controller of ['memory', 'cpu', 'pids']) {
        await tryWrite(join(parent, 'cgroup.subtree_control'), `+${controller}`);
      }
    }
  }
}
