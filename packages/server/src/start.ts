import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createApi, ensureDefaultKey, openDatabase, serveApi } from '@sandbox-backend/api';
import { type Gateway, startGateway, startSshGateway } from '@sandbox-backend/gateway';
import { acquireFileLock, log, Operation, writeFileAtomic } from '@sandbox-backend/kit';
import { openHost } from '@sandbox-backend/machines';
import { openNode } from '@sandbox-backend/orchestrator';
import { SandboxError } from '@sandbox-backend/protocol';
import packageJson from '../package.json' with { type: 'json' };
import type { ServerConfig } from './config.ts';

export type Server = AsyncDisposable & { addresses: { apiUrl: string; sandboxUrl: string } };

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

  // Doors first: an address in use is found before any machine is touched.
  const doors = new AsyncDisposableStack();
  held.use(doors);
  let resolve: Parameters<typeof startGateway>[0]['resolve'] = () => undefined;
  const gateway: Gateway = await startGateway({ listen: config.gateway, resolve: (id) => resolve(id) });
  doors.defer(() => gateway.close());
  let sshAccess: Parameters<typeof startSshGateway>[0]['access'] = {
    hasKey: () => false,
    hasToken: () => false,
  };
  const ssh = await startSshGateway({
    listen: config.ssh,
    hostKeyFile: join(config.dataRoot, 'ssh_host_ed25519_key'),
    access: {
      hasKey: (sandboxId, key) => sshAccess.hasKey(sandboxId, key),
      hasToken: (sandboxId, token) => sshAccess.hasToken(sandboxId, token),
    },
    resolve: (id) => resolve(id),
  });
  doors.defer(() => ssh.close());

  const db = held.adopt(openDatabase(join(config.dataRoot, 'server.db')), (open) => open.close());
  await ensureDefaultKey(db, join(config.dataRoot, 'api-key'));
  const host = held.use(await openHost(op, config, { spareSlots: config.spareSlots, recover: true }));
  log('info', 'host.open', { ...host.vmms.preferred.identity, reason: host.vmms.accelerator.reason });
  const node = held.use(
    await openNode(op, host, {
      warmPool: { machinesPerBuild: config.warmMachines, builds: config.warmBuilds, refillDelayMs: 1000 },
      warmTemplates: config.warmTemplates,
    }),
  );

  let addresses = { apiUrl: '', sandboxUrl: url(gateway.address) };
  const api = held.adopt(
    await createApi(op, {
      node,
      db,
      endConnections(sandboxId) {
        gateway.drop(sandboxId);
        ssh.drop(sandboxId);
      },
      version: packageJson.version,
      ports: () => addresses,
      ssh: () => ({ host: ssh.address.address, port: ssh.address.port, hostKey: ssh.hostKey }),
      limits: config.maxSandboxes === undefined ? {} : { maxSandboxes: config.maxSandboxes },
    }),
    (open) => open.close(),
  );
  resolve = api.resolveSandbox;
  sshAccess = api.sshAccess;
  const door = await serveApi(api.app, config.api);
  doors.defer(() => door.close());
  addresses = { ...addresses, apiUrl: url(door.address) };

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

const url = ({ address, family, port }: { address: string; family: string; port: number }) =>
  `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
