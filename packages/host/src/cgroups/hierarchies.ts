/** Where the control groups of this host are mounted. */
export type Hierarchies = { v1: Partial<Record<Controller, string>>; v2?: string };

export const CONTROLLERS = ['memory', 'cpu', 'cpuacct', 'pids'] as const;
export type Controller = (typeof CONTROLLERS)[number];

/** Reads /proc/self/mountinfo. A controller is in a v1 hierarchy or in v2, never in both. */
export function findHierarchies(mountinfo: string): Hierarchies {
  const found: Hierarchies = { v1: {} };
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const mountPoint = before.split(' ')[4]?.replaceAll('\\040', ' ');
    const [type, , options = ''] = after.split(' ');
    if (!mountPoint) continue;
    if (type === 'cgroup2') found.v2 ??= mountPoint;
    if (type !== 'cgroup') continue;
    for (const controller of CONTROLLERS) {
      if (options.split(',').includes(controller)) found.v1[controller] ??= mountPoint;
    }
  }
  return found;
}
