import { constants } from 'node:fs';
import { access, open, readFile, statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { run } from '@sandbox-backend/kit';
import { CONTROLLERS, findHierarchies } from '../cgroups/hierarchies.ts';
import { readControllers } from '../cgroups/v2.ts';
import { canReflink } from '../disks/reflink.ts';
import { defaultInterface } from '../network/default-interface.ts';
import { findNameserver } from '../network/nameserver.ts';
import { type BaseChain, readBaseChains } from './firewall.ts';

/** What was seen on this host; nothing here is judged. */
export type Facts = {
  uid: number;
  architecture: string;
  processors: number;
  memoryMib: number;
  swapMib: number;
  ksmRuns: boolean;
  /** Nobody can give a file of another's one more name. */
  protectsHardLinks: boolean;
  kvm: { device: 'absent' | 'unusable' | 'usable'; pvm: boolean; virtualizationFlags: boolean };
  /** Undefined when it does not run. */
  qemuVersion: string | undefined;
  missingTools: string[];
  tunDevice: boolean;
  forwarding: boolean;
  egressInterface: string | undefined;
  nameserver: string;
  subnet: string;
  /** Destinations of this host's routes that are not those of slots. */
  routes: string[];
  /** Undefined when nft cannot be asked. */
  baseChains: BaseChain[] | undefined;
  cgroup: { version: 1 | 2 | undefined; controllers: string[] };
  data: { root: string; reflink: boolean | undefined; freeGib: number } | undefined;
  openFiles: number;
};

export type HostQuestion = {
  dataRoot: string;
  subnet: string;
  namePrefix: string;
  qemuBinary: string;
  signal: AbortSignal;
};

/** Each is named by the package that has it. */
export const TOOLS: Record<string, string> = {
  nft: 'nftables',
  ip: 'iproute2',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  'qemu-img': 'qemu-utils',
  skopeo: 'skopeo',
  'mkfs.ext4': 'e2fsprogs',
  mmdebstrap: 'mmdebstrap',
};

const SEARCH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export async function collectFacts(question: HostQuestion): Promise<Facts> {
  const { signal } = question;
  const memory = await readText('/proc/meminfo');
  const cpu = await readText('/proc/cpuinfo');
  const [qemuVersion, missingTools, egressInterface, routes, baseChains, cgroup, data] = await Promise.all([
    qemuVersionOf(question.qemuBinary, signal),
    toolsMissing(),
    defaultInterface(signal).catch(() => undefined),
    routesOf(question.namePrefix, signal),
    readBaseChains(signal),
    readCgroup(),
    readData(question.dataRoot),
  ]);
  return {
    uid: process.getuid?.() ?? -1,
    architecture: process.arch,
    processors: availableParallelism(),
    memoryMib: Math.floor(totalmem() / 2 ** 20),
    protectsHardLinks: (await readText('/proc/sys/fs/protected_hardlinks')).trim() === '1',
    swapMib: Math.floor(Number(/^SwapTotal:\s+(\d+)/m.exec(memory)?.[1] ?? 0) / 1024),
    ksmRuns: (await readText('/sys/kernel/mm/ksm/run')).trim() === '1',
    kvm: {
      device: await kvmDevice(),
      pvm: await exists('/sys/module/kvm_pvm'),
      virtualizationFlags: /^flags\s*:.*\b(vmx|svm)\b/m.test(cpu),
    },
    qemuVersion,
    missingTools,
    tunDevice: await exists('/dev/net/tun'),
    forwarding: (await readText('/proc/sys/net/ipv4/ip_forward')).trim() !== '0',
    egressInterface,
    nameserver: await findNameserver(),
    subnet: question.subnet,
    routes,
    baseChains,
    cgroup,
    data,
    openFiles: Number(
      /^Max open files\s+(\d+)/m.exec(await readText('/proc/self/limits'))?.[1] ?? Number.POSITIVE_INFINITY,
    ),
  };
}

const readText = (path: string) => readFile(path, 'utf8').catch(() => '');
const exists = (path: string, mode = constants.F_OK) =>
  access(path, mode).then(
    () => true,
    () => false,
  );

async function kvmDevice(): Promise<Facts['kvm']['device']> {
  if (!(await exists('/dev/kvm'))) return 'absent';
  try {
    await (await open('/dev/kvm', 'r+')).close();
    return 'usable';
  } catch {
    return 'unusable';
  }
}

async function qemuVersionOf(binary: string, signal: AbortSignal): Promise<string | undefined> {
  const answer = await run(binary, ['--version'], { signal }).catch(() => undefined);
  return /version (\d+(?:\.\d+)+)/.exec(answer?.stdout ?? '')?.[1];
}

async function toolsMissing(): Promise<string[]> {
  const folders = new Set([...(process.env.PATH ?? '').split(':').filter(Boolean), ...SEARCH]);
  const missing: string[] = [];
  for (const tool of Object.keys(TOOLS)) {
    const found = await Promise.all(
      [...folders].map((folder) => exists(`${folder}/${tool}`, constants.X_OK)),
    );
    if (!found.includes(true)) missing.push(tool);
  }
  return missing;
}

async function routesOf(namePrefix: string, signal: AbortSignal): Promise<string[]> {
  const answer = await run('ip', ['-4', '-j', 'route', 'show', 'table', 'all'], { signal }).catch(
    () => undefined,
  );
  const routes = JSON.parse(answer?.stdout || '[]') as { dst: string; dev?: string; type?: string }[];
  return routes
    .filter(
      ({ dst, dev, type }) => dst !== 'default' && !dev?.startsWith(`${namePrefix}-`) && type !== 'broadcast',
    )
    .map(({ dst }) => dst);
}

async function readCgroup(): Promise<Facts['cgroup']> {
  const { v1, v2 } = findHierarchies(await readText('/proc/self/mountinfo'));
  const inV2 = (v2 ? await readControllers(v2) : []).filter((name) =>
    ['memory', 'cpu', 'pids'].includes(name),
  );
  if (inV2.length > 0) return { version: 2, controllers: inV2 };
  const inV1 = CONTROLLERS.filter((name) => name in v1);
  return { version: inV1.length > 0 ? 1 : undefined, controllers: inV1 };
}

/** Of the folder itself, or of the nearest one above it that exists. */
async function readData(root: string): Promise<Facts['data']> {
  try {
    let folder = root;
    while (!(await exists(folder)) && folder !== dirname(folder)) folder = dirname(folder);
    const { bavail, bsize } = await statfs(folder);
    const reflink = folder === root ? await canReflink(root).catch(() => undefined) : undefined;
    return { root, reflink, freeGib: (bavail * bsize) / 2 ** 30 };
  } catch {
    return undefined;
  }
}
