import { SandboxError } from '@sandbox-backend/protocol';

export type Address = { host: string; port: number };

export type ServerConfig = {
  dataRoot: string;
  api: Address;
  gateway: Address;
  /** Addresses of the slots; must not overlap a network that this host reaches. */
  subnet: string;
  qemuBinary: string;
  accelerator: 'auto' | 'kvm' | 'tcg';
  /** Warm machines kept for each of the builds used last. */
  warmMachines: number;
  warmBuilds: number;
  warmTemplates: string[];
  /** Network slots made ahead. */
  spareSlots: number;
  /** Undefined: as many as the host carries. */
  maxSandboxes: number | undefined;
};

/** Reads the configuration from the environment; doors are on loopback unless configured. */
export function readConfig(env: NodeJS.ProcessEnv): ServerConfig {
  return {
    dataRoot: env.SANDBOX_DATA_ROOT || '/var/lib/sandbox-backend',
    api: address(env, 'SANDBOX_API_LISTEN', '127.0.0.1:3000'),
    gateway: address(env, 'SANDBOX_GATEWAY_LISTEN', '127.0.0.1:3002'),
    subnet: env.SANDBOX_SUBNET || '10.168.0.0/16',
    qemuBinary: env.SANDBOX_QEMU || 'qemu-system-x86_64',
    accelerator: oneOf(env, 'SANDBOX_ACCELERATOR', ['auto', 'kvm', 'tcg'] as const, 'auto'),
    warmMachines: count(env, 'SANDBOX_WARM_MACHINES', 1),
    warmBuilds: count(env, 'SANDBOX_WARM_BUILDS', 3),
    warmTemplates: (env.SANDBOX_WARM_TEMPLATES ?? 'default-sandbox').split(',').filter(Boolean),
    spareSlots: count(env, 'SANDBOX_SPARE_SLOTS', 4),
    maxSandboxes: env.SANDBOX_MAX_SANDBOXES ? count(env, 'SANDBOX_MAX_SANDBOXES', 0) : undefined,
  };
}

function address(env: NodeJS.ProcessEnv, name: string, fallback: string): Address {
  const text = env[name] || fallback;
  const [, host, port] = /^(?:(\[[0-9a-fA-F:]+\]|[^:]*):)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535)
    throw invalid(name, text, 'HOST:PORT, for example 127.0.0.1:3000');
  return { host: host?.replace(/[[\]]/g, '') || '127.0.0.1', port: Number(port) };
}

function count(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const text = env[name];
  if (!text) return fallback;
  if (!/^\d{1,6}$/.test(text)) throw invalid(name, text, 'a whole number from 0');
  return Number(text);
}

function oneOf<const T extends string>(
  env: NodeJS.ProcessEnv,
  name: string,
  values: readonly T[],
  fallback: T,
): T {
  const text = env[name];
  if (!text) return fallback;
  const value = values.find((candidate) => candidate === text);
  if (value === undefined) throw invalid(name, text, `one of ${values.join(', ')}`);
  return value;
}

const invalid = (name: string, text: string, wanted: string) =>
  new SandboxError('invalid_argument', `${name} is ${JSON.stringify(text)}`, {
    hint: `It must be ${wanted}.`,
  });
