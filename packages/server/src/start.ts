import { mkdir, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createApi, ensureDefaultKey, openDatabase, serveApi, startSeedControl } from '@sandbox-backend/api';
import { acquireFileLock, log, Operation, writeFileAtomic } from '@sandbox-backend/kit';
import { openHost } from '@sandbox-backend/machines';
import { openNode } from '@sandbox-backend/orchestrator';
import { SandboxError } from '@sandbox-backend/protocol';
import packageJson from '../package.json' with { type: 'json' };
import type { ServerConfig } from './config.ts';
import { type DoorKeeper, openDataDoors } from './data-doors.ts';
import { startTelemetry } from './telemetry/start-telemetry.ts';

/** Where the server listens; a door that is switched off has none. */
export type Addresses = {
  apiUrl: string;
  sandboxUrl: string;
  seedControlAddress?: string;
  seedProxyUrl?: string;
  sshAddress?: string;
};

export type Server = AsyncDisposable & { addresses: Addresses };

/**
 * Composes the whole system in one process; nothing else constructs dependencies. Disposing of the server
 * ends every sandbox and frees all that it held. A failure on the way leaves nothing of this run behind,
 * and the sandboxes of an earlier one as they were.
 */
export async function startServer(config: ServerConfig): Promise<Server> {
  const op = new Operation('start the server', { timeoutMs: 5 * 60_000 });
  requireRoot();
  await using held = new AsyncDisposableStack();
  await mkdir(config.dataRoot, { recursive: true, mode: 0o755 });
  held.use(await acquireFileLock(join(config.dataRoot, 'server.lock'), `the data folder ${config.dataRoot}`));

  const telemetry = held.use(await startTelemetry({ otlp: config.otlp, version: packageJson.version }));

  // Doors first: an address in use is found before any machine is touched.
  const doors = new AsyncDisposableStack();
  held.use(doors);
  let keeper: DoorKeeper | undefined;
  const data = await openDataDoors(config, () => keeper, doors);

  const db = held.adopt(openDatabase(join(config.dataRoot, 'server.db')), (open) => open.close());
  const team = await ensureDefaultKey(db, join(config.dataRoot, 'api-key'));
  const host = held.use(await openHost(op, config, { spareSlots: config.spareSlots, recover: true }));
  log('info', 'host.open', { ...host.vmms.preferred.identity, reason: host.vmms.accelerator.reason });
  const node = held.use(
    await openNode(op, host, {
      warmPool: { machinesPerBuild: config.warmMachines, builds: config.warmBuilds, refillDelayMs: 1000 },
      warmTemplates: config.warmTemplates,
    }),
  );

  let addresses: Addresses = {
    apiUrl: '',
    sandboxUrl: url(data.gateway.address),
    ...(data.seedProxy && { seedProxyUrl: url(data.seedProxy.address) }),
    ...(data.ssh && { sshAddress: hostAndPort(data.ssh.address) }),
  };
  const api = held.adopt(
    await createApi(op, {
      node,
      db,
      endConnections: data.drop,
      version: packageJson.version,
      ports: () => addresses,
      readMetrics: telemetry.read,
      ssh: () =>
        data.ssh && {
          host: data.ssh.address.address,
          port: data.ssh.address.port,
          hostKey: data.ssh.hostKey,
        },
      limits: config.maxSandboxes === undefined ? {} : { maxSandboxes: config.maxSandboxes },
    }),
    (open) => open.close(),
  );
  keeper = { resolve: api.resolveSandbox, sshAccess: api.sshAccess };
  telemetry.watch({ dataRoot: config.dataRoot, node, countSandboxes: api.countSandboxes });
  const door = doors.adopt(await serveApi(api.app, config.api), close);
  addresses = { ...addresses, apiUrl: url(door.address) };
  if (config.seed.control) {
    const seedControl = doors.adopt(
      await startSeedControl({
        listen: config.seed.control,
        clients: config.seed.clients,
        deps: api.deps,
        teamId: team.teamId,
      }),
      close,
    );
    addresses = { ...addresses, seedControlAddress: hostAndPort(seedControl.address) };
  }

  const file = join(config.dataRoot, 'server.json');
  await writeFileAtomic(file, `${JSON.stringify({ ...addresses, pid: process.pid }, undefined, 2)}\n`);
  held.defer(() => rm(file, { force: true }));

  const owned = held.move();
  return {
    addresses,
    async [Symbol.asyncDispose]() {
      await doors.disposeAsync();
      await node.stopAll();
      await owned.disposeAsync();
    },
  };
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new SandboxError(
    'permission_denied',
    'the server needs root: it makes namespaces, taps, mounts and cgroups',
    {
      hint: 'Run it with sudo; every virtual machine runs as an unprivileged user of its own.',
    },
  );
}

const close = (door: { close(): Promise<void> }) => door.close();

const hostAndPort = ({ address, family, port }: AddressInfo) =>
  `${family === 'IPv6' ? `[${address}]` : address}:${port}`;
const url = (address: AddressInfo) => `http://${hostAndPort(address)}`;
