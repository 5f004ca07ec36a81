import type { DatabaseSync } from 'node:sqlite';
import { type MetricFamily, type Operation, randomId } from '@sandbox-backend/kit';
import type { NodeService, SandboxRoute } from '@sandbox-backend/protocol';
import type { Hono } from 'hono';
import { keyRows } from './db/keys.ts';
import { sandboxRows } from './db/sandboxes.ts';
import { snapshotRows } from './db/snapshots.ts';
import { sshKeyRows, sshTokenRows } from './db/ssh-keys.ts';
import { e2bApp } from './dialects/e2b/app.ts';
import type { SshDoor } from './dialects/e2b/ssh-routes.ts';
import { countByState } from './sandboxes/count.ts';
import type { SandboxDeps, SandboxLimits } from './sandboxes/deps.ts';
import { recordExit } from './sandboxes/exit.ts';
import { startReaper } from './sandboxes/reap.ts';
import { recoverSandboxes } from './sandboxes/recover.ts';
import { routeOf } from './sandboxes/route.ts';
import { recoverSnapshots } from './snapshots/recover.ts';
import { type SshAccess, sshAccess } from './ssh/access.ts';

export type ApiOptions = {
  node: NodeService;
  /** From `openDatabase`; the caller closes it after the API. */
  db: DatabaseSync;
  /** Destroys every connection of the data plane to the sandbox, at once: `gateway.drop`. */
  endConnections(sandboxId: string): void;
  version: string;
  /** Where this server listens, for `GET /status`. */
  ports?(): Record<string, string>;
  /** Where the SSH door is, for `GET /ssh/door`. */
  ssh?(): SshDoor | undefined;
  /** Metrics of the server as a whole, for `GET /metrics`. */
  readMetrics?(): Promise<readonly MetricFamily[]>;
  limits?: SandboxLimits;
  /** See {@link SandboxRoutesOptions.domain}. */
  domain?: string | undefined;
  /** How long a create may take; two minutes by default. */
  createTimeoutMs?: number;
  now?(): number;
};

export type Api = {
  app: Hono;
  /** For the gateway: what it may know of a sandbox. A read of one row; safe on every request. */
  resolveSandbox(sandboxId: string): SandboxRoute | undefined;
  /** For the dialects that have a door of their own. */
  deps: SandboxDeps;
  /** For the SSH door: who may enter which sandbox. */
  sshAccess: SshAccess;
  /** How many hold a place on the host, by state. */
  countSandboxes(): Record<string, number>;
  /** Cancels creates under way and ends no sandbox; those are found again by the next start. */
  close(): Promise<void>;
};

/**
 * The control plane of one host. When this returns, rows and machines agree, overdue sandboxes are
 * being ended, and `app` may serve. Errors: those of the node.
 */
export async function createApi(op: Operation, options: ApiOptions): Promise<Api> {
  const deps: SandboxDeps = {
    node: options.node,
    rows: sandboxRows(options.db),
    snapshots: snapshotRows(options.db),
    now: options.now ?? Date.now,
    newId: () => randomId('i'),
    limits: options.limits ?? {},
    starts: new Map(),
    kills: new Map(),
    endConnections: options.endConnections,
    wakeReaper: () => reaper.wake(),
  };
  options.node.onExit((exit) => recordExit(deps, exit));
  await recoverSandboxes(op, deps);
  await recoverSnapshots(deps);
  const reaper = startReaper(deps);

  const ssh = { sshKeys: sshKeyRows(options.db), sshTokens: sshTokenRows(options.db) };
  const app = e2bApp(
    { ...deps, ...ssh, keys: keyRows(options.db) },
    {
      version: options.version,
      startedAt: new Date(deps.now()).toISOString(),
      ports: options.ports ?? (() => ({})),
      readMetrics: options.readMetrics ?? (async () => []),
      ssh: options.ssh ?? (() => undefined),
      domain: options.domain,
      createTimeoutMs: options.createTimeoutMs ?? 120_000,
    },
  );
  return {
    app,
    resolveSandbox: (sandboxId) => routeOf(deps, sandboxId),
    sshAccess: sshAccess({ ...deps, ...ssh }),
    deps,
    countSandboxes: () => countByState(deps),
    async close() {
      reaper.close();
      const starts = [...deps.starts.values()];
      for (const start of starts) start.abort.abort();
      await Promise.allSettled([...starts.map(({ settled }) => settled), ...deps.kills.values()]);
    },
  };
}
