import type { Hono } from 'hono';
import type { KeyRows } from '../../db/keys.ts';
import type { SshKeyRows, SshTokenRows } from '../../db/ssh-keys.ts';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { type PrometheusOptions, prometheusRoutes } from '../prometheus/routes.ts';
import { hostRoutes } from './host-routes.ts';
import { laterRoutes } from './later-routes.ts';
import { presentedKey, routes } from './routes.ts';
import { type SandboxRoutesOptions, sandboxRoutes } from './sandbox-routes.ts';
import { snapshotRoutes } from './snapshot-routes.ts';
import { type SshDoor, sshRoutes } from './ssh-routes.ts';
import { templateRoutes } from './template-routes.ts';

export type E2bOptions = SandboxRoutesOptions &
  PrometheusOptions & {
    version: string;
    startedAt: string;
    /** Where this server listens, for `GET /status`. */
    ports(): Record<string, string>;
    ssh(): SshDoor | undefined;
  };

export type E2bDeps = SandboxDeps & { keys: KeyRows; sshKeys: SshKeyRows; sshTokens: SshTokenRows };

/** The REST API of the E2B SDKs and CLI, and `GET /status` for our own tools. */
export function e2bApp(deps: E2bDeps, options: E2bOptions): Hono {
  const all = routes(deps.keys);
  const { app, on } = all;

  app.get('/health', (c) => c.body(null, 204));
  on('GET', '/teams', (c, team) =>
    // Only the hash of a key is kept; the one in the request is the team's.
    c.json([
      { teamID: team.id, name: team.name, apiKey: presentedKey(c), isDefault: team.name === 'default' },
    ]),
  );
  on('GET', '/status', (c, team) => {
    const own = deps.node.list().filter(({ sandboxId }) => deps.rows.find(sandboxId)?.teamId === team.id);
    return c.json({
      pid: process.pid,
      serverPid: process.pid,
      version: options.version,
      startedAt: options.startedAt,
      ports: options.ports(),
      node: deps.node.describe(),
      sandboxes: own.map(({ sandboxId, template, buildId, address, pid, slotIndex, startedAt }) => ({
        sandboxId,
        template,
        buildId,
        address,
        pid,
        slotIndex,
        startedAt,
        diffSnapshots: deps.rows.find(sandboxId)?.diffSnapshots ?? false,
      })),
    });
  });
  on('GET', '/capabilities', (c) => {
    const { vmm, capabilities } = deps.node.describe();
    return c.json({ preferred: vmm.kind, vmms: capabilities });
  });
  // Before the routes with a parameter where a fixed word stands here.
  laterRoutes(all);
  sandboxRoutes(all, deps, options);
  snapshotRoutes(all, deps);
  templateRoutes(all, deps);
  hostRoutes(all, deps);
  prometheusRoutes(all, deps, options);
  sshRoutes(all, deps, options.ssh);
  all.finish();
  return app;
}
