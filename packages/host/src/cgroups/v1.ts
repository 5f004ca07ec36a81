import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cgroup, type CgroupSpec, CPU_PERIOD_US, cpuQuotaUs, PARENT } from './cgroup.ts';
import { readNumber, removeGroup, tryWrite } from './group.ts';
import type { Hierarchies } from './hierarchies.ts';

/** Version 1: a hierarchy for each controller, each with a group of the same name. */
export async function openV1(mounts: Hierarchies['v1'], { name, limits }: CgroupSpec): Promise<Cgroup> {
  const folderIn = async (mount: string | undefined) => {
    if (!mount) return undefined;
    const folder = join(mount, PARENT, name);
    return mkdir(folder, { recursive: true }).then(
      () => folder,
      () => undefined,
    );
  };
  const [memory, cpu, cpuacct, pids] = await Promise.all([
    folderIn(mounts.memory),
    folderIn(mounts.cpu),
    folderIn(mounts.cpuacct),
    folderIn(mounts.pids),
  ]);
  const set = async (folder: string | undefined, file: string, value: number) =>
    folder !== undefined && (await tryWrite(join(folder, file), value));

  const [memorySet, cpuSet, pidsSet] = await Promise.all([
    set(memory, 'memory.limit_in_bytes', limits.memoryMib * 2 ** 20),
    set(cpu, 'cpu.cfs_period_us', CPU_PERIOD_US).then(
      (ok) => ok && set(cpu, 'cpu.cfs_quota_us', cpuQuotaUs(limits.vcpus)),
    ),
    set(pids, 'pids.max', limits.pids),
  ]);
  // Two controllers may share a hierarchy, and then a folder.
  const folders = [...new Set([memory, cpu, cpuacct, pids].filter((folder) => folder !== undefined))];
  return {
    procsFiles: folders.map((folder) => join(folder, 'cgroup.procs')),
    missing: [!memorySet && 'memory', !cpuSet && 'cpu', !pidsSet && 'pids'].filter((what) => what !== false),
    stats: async () => ({
      memoryBytes: memory ? await readNumber(join(memory, 'memory.usage_in_bytes')) : 0,
      cpuUsageUs: cpuacct ? Math.floor((await readNumber(join(cpuacct, 'cpuacct.usage'))) / 1000) : 0,
      pids: pids ? await readNumber(join(pids, 'pids.current')) : 0,
    }),
    reclaim: async () => {
      // Refused while nothing is left to take, which is no failure.
      if (memory) await tryWrite(join(memory, 'memory.force_empty'), 0);
    },
    [Symbol.asyncDispose]: () => removeGroup(folders),
  };
}
