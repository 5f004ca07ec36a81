import { join } from 'node:path';
import {
  type GatewayOptions,
  type SshAccess,
  startGateway,
  startSeedProxy,
  startSshGateway,
} from '@sandbox-backend/gateway';
import type { ServerConfig } from './config.ts';

/** What the doors ask of the control plane, which is not there yet when they open. */
export type DoorKeeper = { resolve: GatewayOptions['resolve']; sshAccess: SshAccess };

export type DataDoors = {
  gateway: Awaited<ReturnType<typeof startGateway>>;
  /** Undefined when they are switched off. */
  seedProxy: Awaited<ReturnType<typeof startSeedProxy>> | undefined;
  ssh: Awaited<ReturnType<typeof startSshGateway>> | undefined;
  /** Cuts every connection to the sandbox, now. */
  drop(sandboxId: string): void;
};

/** Opens the doors to the sandboxes. Until there is a keeper, nobody comes in. */
export async function openDataDoors(
  config: ServerConfig,
  keeper: () => DoorKeeper | undefined,
  held: AsyncDisposableStack,
): Promise<DataDoors> {
  const resolve: GatewayOptions['resolve'] = (sandboxId) => keeper()?.resolve(sandboxId);
  const access: SshAccess = {
    hasKey: (sandboxId, key) => keeper()?.sshAccess.hasKey(sandboxId, key) ?? false,
    hasToken: (sandboxId, token) => keeper()?.sshAccess.hasToken(sandboxId, token) ?? false,
  };
  const close = (door: { close(): Promise<void> }) => door.close();
  const { seed } = config;
  const gateway = held.adopt(await startGateway({ listen: config.gateway, resolve }), close);
  const seedProxy =
    seed.proxy &&
    held.adopt(await startSeedProxy({ listen: seed.proxy, clients: seed.clients, resolve }), close);
  const hostKeyFile = join(config.dataRoot, 'ssh_host_ed25519_key');
  const ssh =
    config.ssh &&
    held.adopt(await startSshGateway({ listen: config.ssh, hostKeyFile, access, resolve }), close);
  return {
    gateway,
    seedProxy,
    ssh,
    drop(sandboxId) {
      gateway.drop(sandboxId);
      seedProxy?.drop(sandboxId);
      ssh?.drop(sandboxId);
    },
  };
}
