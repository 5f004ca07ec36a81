import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cgroup, type CgroupSpec, CPU_PERIOD_US, cpuQuotaUs, PARENT } from './cgroup.ts';
import { readNumber, removeGroup, tryWrite } from './group.ts';

const WANTED = ['memory', 'cpu', 'pids'] as const;

/** Version 2: one tree. Undefined when it has none of our controllers, as where they are all in version 1. */
export async function openV2(root: string, { name, limits }: CgroupSpec): Promise<Cgroup | undefined> {
  const available = await readControllers(root);
  if (!WANTED.some((controller) => available.includes(controller))) return undefined;
  const parent = join(root, PARENT);
  const folder = join(parent, name);
  const made = await mkdir(folder, { recursive: true }).then(
    () => true,
    () => false,
  );
  if (!made) return nowhere();
  for (const above of [root, parent]) {
    for (const controller of WANTED) await tryWrite(join(above, 'cgroup.subtree_control'), `+${controller}`);
  }
  const [memorySet, cpuSet, pidsSet] = await Promise.all([
    tryWrite(join(folder, 'memory.max'), limits.memoryMib * 2 ** 20),
    tryWrite(join(folder, 'cpu.max'), `${cpuQuotaUs(limits.vcpus)} ${CPU_PERIOD_US}`),
    tryWrite(join(folder, 'pids.max'), limits.pids),
  ]);
  return {
    procsFiles: [join(folder, 'cgroup.procs')],
    missing: [!memorySet && 'memory', !cpuSet && 'cpu', !pidsSet && 'pids'].filter((what) => what !== false),
    stats: async () => ({
      memoryBytes: memorySet ? await readNumber(join(folder, 'memory.current')) : 0,
      cpuUsageUs: Number(
        /^usage_usec (\d+)/m.exec(await readFile(join(folder, 'cpu.stat'), 'utf8'))?.[1] ?? 0,
      ),
      pids: pidsSet ? await readNumber(join(folder, 'pids.current')) : 0,
    }),
    reclaim: async () => {
      // More than there is to take is refused after all of it was taken, which is no failure.
      if (memorySet)
        await tryWrite(join(folder, 'memory.reclaim'), await readNumber(join(folder, 'memory.current')));
    },
    async [Symbol.asyncDispose]() {
      await tryWrite(join(folder, 'cgroup.kill'), 1);
      await removeGroup([folder]);
    },
  };
}

export const readControllers = async (root: string) =>
  (await readFile(join(root, 'cgroup.controllers'), 'utf8').catch(() => '')).split(/\s+/).filter(Boolean);

/** A tree that cannot be written, as in most containers. */
const nowhere = (): Cgroup => ({
  procsFiles: [],
  missing: WANTED,
  stats: async () => ({ memoryBytes: 0, cpuUsageUs: 0, pids: 0 }),
  reclaim: async () => {},
  [Symbol.asyncDispose]: async () => {},
});
