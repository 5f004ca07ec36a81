import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PARENT } from './cgroup.ts';
import { tryWrite } from './group.ts';
import { findHierarchies } from './hierarchies.ts';

/**
 * Makes the group above all others anew: groups in it that nothing runs in are removed, and then it is itself, with
 * what it has counted, unless a group is left below it. `keep` tells the groups of machines, one of which may be about to start. The next room that is opened switches the controllers on.
 */
export async function recreateParentCgroup(keep: (name: string) => Promise<boolean>): Promise<void> {
  const { v1, v2 } = findHierarchies(await readFile('/proc/self/mountinfo', 'utf8'));
  const mounts = new Set([...Object.values(v1), v2].filter((mount) => mount !== undefined));
  for (const mount of mounts) {
    const parent = join(mount, PARENT);
    const below = await readdir(parent, { withFileTypes: true }).catch(() => undefined);
    if (!below) continue; // never made in this hierarchy
    for (const entry of below) {
      // Asked when the group is there, since a machine has its folder before it. One with processes is busy anyway.
      if (entry.isDirectory() && !(await keep(entry.name)))
        await rmdir(join(parent, entry.name)).catch(() => {});
    }
    await rmdir(parent).catch(() => {}); // busy while a group below it is: it stays
    await mkdir(parent, { recursive: true });
    if (mount === v2) {
      for (const controller of ['memory', 'cpu', 'pids']) {
        await tryWrite(join(parent, 'cgroup.subtree_control'), `+${controller}`);
      }
    }
  }
}
