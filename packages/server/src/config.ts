import { type HostConfig, invalidSetting, readCount, readHostConfig } from '@sandbox-backend/machines';

export type Address = { host: string; port: number };

export type ServerConfig = HostConfig & {
  api: Address;
  gateway: Address;
  /** The seed's control plane (gRPC) and data plane, whose clients cannot send credentials. */
  seed: { control: Address; proxy: Address; clients: string[] };
  ssh: Address;
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
    ...readHostConfig(env),
    api: address(env, 'SANDBOX_API_LISTEN', '127.0.0.1:3000'),
    gateway: address(env, 'SANDBOX_GATEWAY_LISTEN', '127.0.0.1:3002'),
    seed: {
      control: address(env, 'SANDBOX_SEED_CONTROL_LISTEN', '127.0.0.1:5000'),
      proxy: address(env, 'SANDBOX_SEED_PROXY_LISTEN', '127.0.0.1:6666'),
      clients: (env.SANDBOX_SEED_CLIENTS ?? '127.0.0.0/8,::1/128').split(',').filter(Boolean),
    },
    ssh: address(env, 'SANDBOX_SSH_LISTEN', '127.0.0.1:2222'),
    warmMachines: readCount(env, 'SANDBOX_WARM_MACHINES', 1),
    warmBuilds: readCount(env, 'SANDBOX_WARM_BUILDS', 3),
    warmTemplates: (env.SANDBOX_WARM_TEMPLATES ?? 'default-sandbox').split(',').filter(Boolean),
    spareSlots: readCount(env, 'SANDBOX_SPARE_SLOTS', 4),
    maxSandboxes: env.SANDBOX_MAX_SANDBOXES ? readCount(env, 'SANDBOX_MAX_SANDBOXES', 0) : undefined,
  };
}

function address(env: NodeJS.ProcessEnv, name: string, fallback: string): Address {
  const text = env[name] || fallback;
  const [, host, port] = /^(?:(\[[0-9a-fA-F:]+\]|[^:]*):)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535) {
    throw invalidSetting(name, text, 'HOST:PORT, for example 127.0.0.1:3000');
  }
  return { host: host?.replace(/[[\]]/g, '') || '127.0.0.1', port: Number(port) };
}
