import type { BlockList } from 'node:net';
import { networkList } from '@sandbox-backend/kit';
import { type HostConfig, invalidSetting, readCount, readHostConfig } from '@sandbox-backend/machines';

import { type OtlpConfig, readOtlpConfig } from './telemetry/config.ts';

export type Address = { host: string; port: number };

export type ServerConfig = HostConfig & {
  api: Address;
  gateway: Address;
  /** The seed's control plane (gRPC) and data plane, whose clients cannot send credentials. */
  seed: { control: Address | undefined; proxy: Address | undefined; clients: BlockList };
  ssh: Address | undefined;
  /** Warm machines kept for each of the builds used last. */
  warmMachines: number;
  warmBuilds: number;
  warmTemplates: string[];
  /** Network slots made ahead. */
  spareSlots: number;
  /** Where traces and metrics are sent; undefined: nowhere. */
  otlp: OtlpConfig | undefined;
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
      control: door(env, 'SANDBOX_SEED_CONTROL_LISTEN', '127.0.0.1:5000'),
      proxy: door(env, 'SANDBOX_SEED_PROXY_LISTEN', '127.0.0.1:6666'),
      clients: readNetworks(env, 'SANDBOX_SEED_CLIENTS', '127.0.0.0/8,::1/128'),
    },
    ssh: door(env, 'SANDBOX_SSH_LISTEN', '127.0.0.1:2222'),
    warmMachines: readCount(env, 'SANDBOX_WARM_MACHINES', 1),
    warmBuilds: readCount(env, 'SANDBOX_WARM_BUILDS', 3),
    warmTemplates: (env.SANDBOX_WARM_TEMPLATES ?? 'default-sandbox').split(',').filter(Boolean),
    spareSlots: readCount(env, 'SANDBOX_SPARE_SLOTS', 4),
    otlp: readOtlpConfig(env),
    maxSandboxes: env.SANDBOX_MAX_SANDBOXES ? readCount(env, 'SANDBOX_MAX_SANDBOXES', 0) : undefined,
  };
}

/** A door that a server can do without: `off` leaves it shut. */
function door(env: NodeJS.ProcessEnv, name: string, fallback: string): Address | undefined {
  return env[name] === 'off' ? undefined : address(env, name, fallback);
}

function readNetworks(env: NodeJS.ProcessEnv, name: string, fallback: string): BlockList {
  const text = env[name] ?? fallback;
  try {
    return networkList(text.split(',').filter(Boolean));
  } catch {
    throw invalidSetting(name, text, 'networks in CIDR form, with commas between');
  }
}

function address(env: NodeJS.ProcessEnv, name: string, fallback: string): Address {
  const text = env[name] || fallback;
  const [, host, port] = /^(?:(\[[0-9a-fA-F:]+\]|[^:]*):)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535) {
    throw invalidSetting(name, text, 'HOST:PORT, for example 127.0.0.1:3000');
  }
  return { host: host?.replace(/[[\]]/g, '') || '127.0.0.1', port: Number(port) };
}
