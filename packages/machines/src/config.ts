import { SandboxError } from '@sandbox-backend/protocol';
import type { VmmType } from './vmms.ts';

/** What every process on a host that holds machines must agree on: the server and template-manager. */
export type HostConfig = {
  dataRoot: string;
  /** Addresses of the slots; must not overlap a network that this host reaches. */
  subnet: string;
  /** Names namespaces and interfaces; a second installation on one host needs a prefix and a subnet of its own. */
  networkPrefix: string;
  /** The first of the unprivileged users that VMMs run as, one for each slot. */
  uidBase: number;
  qemuBinary: string;
  firecrackerBinary: string;
  jailerBinary: string;
  cloudHypervisorBinary: string;
  /** Programs that a template may name as its hypervisor, beside those above. */
  hypervisorPaths: string[];
  /** What `auto` stands for in a template. */
  vmm: VmmType;
  accelerator: 'auto' | 'kvm' | 'tcg';
  /** Of each sandbox, in each direction; undefined: no limit. */
  networkBytesPerSecond: number | undefined;
  /** Of each sandbox's disks; undefined: no limit. */
  diskBytesPerSecond: number | undefined;
};

export function readHostConfig(env: NodeJS.ProcessEnv): HostConfig {
  return {
    dataRoot: env.SANDBOX_DATA_ROOT || '/var/lib/sandbox-backend',
    subnet: env.SANDBOX_SUBNET || '10.168.0.0/16',
    networkPrefix: env.SANDBOX_NETWORK_PREFIX || 'sbx',
    uidBase: readCount(env, 'SANDBOX_UID_BASE', 300_000),
    qemuBinary: env.SANDBOX_QEMU || 'qemu-system-x86_64',
    firecrackerBinary: env.SANDBOX_FIRECRACKER || 'firecracker',
    jailerBinary: env.SANDBOX_JAILER || 'jailer',
    cloudHypervisorBinary: env.SANDBOX_CLOUD_HYPERVISOR || 'cloud-hypervisor',
    hypervisorPaths: (env.SANDBOX_HYPERVISOR_PATHS ?? '').split(':').filter(Boolean),
    vmm: readOneOf(env, 'SANDBOX_VMM', ['auto', 'firecracker', 'cloud-hypervisor', 'qemu'] as const, 'auto'),
    accelerator: readOneOf(env, 'SANDBOX_ACCELERATOR', ['auto', 'kvm', 'tcg'] as const, 'auto'),
    networkBytesPerSecond: readLimit(env, 'SANDBOX_NETWORK_LIMIT_MBIT', 1e6 / 8),
    diskBytesPerSecond: readLimit(env, 'SANDBOX_DISK_LIMIT_MIB', 2 ** 20),
  };
}

export function readCount(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const text = env[name];
  if (!text) return fallback;
  if (!/^\d{1,9}$/.test(text)) throw invalidSetting(name, text, 'a whole number from 0');
  return Number(text);
}

/** In bytes; 0, like nothing, is no limit. */
function readLimit(env: NodeJS.ProcessEnv, name: string, unitBytes: number): number | undefined {
  return readCount(env, name, 0) * unitBytes || undefined;
}

export function readOneOf<const T extends string>(
  env: NodeJS.ProcessEnv,
  name: string,
  values: readonly T[],
  fallback: T,
): T {
  const text = env[name];
  if (!text) return fallback;
  const value = values.find((candidate) => candidate === text);
  if (value === undefined) throw invalidSetting(name, text, `one of ${values.join(', ')}`);
  return value;
}

export const invalidSetting = (name: string, text: string, wanted: string) =>
  new SandboxError('invalid_argument', `${name} is ${JSON.stringify(text)}`, {
    hint: `It must be ${wanted}.`,
  });
