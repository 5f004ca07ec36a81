import { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Context } from 'hono';
import { z } from 'zod';
import type { Team } from '../../db/keys.ts';
import { cleanNetworks } from '../../host/clean-networks.ts';
import { purgeOrphans } from '../../host/purge.ts';
import { deactivateSandbox } from '../../sandboxes/deactivate.ts';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { readBody } from './body.ts';
import type { Routes } from './routes.ts';
import { readSandboxId } from './sandbox-id.ts';

const TIMEOUT_MS = 120_000;

const purgeRequest = z.object({ sandboxIds: z.array(z.string()).min(1).max(1000).nullish() });

/** What our CLI asks of the host itself, and of the memory of a sandbox; no part of E2B's protocol. */
export function hostRoutes({ on }: Routes, deps: Pick<SandboxDeps, 'rows' | 'node'>): void {
  const operation = (c: Context, name: string) =>
    new Operation(name, { timeoutMs: TIMEOUT_MS, signal: c.req.raw.signal });

  on('POST', '/sandboxes/:id/deactivate', async (c, team) => {
    const id = readSandboxId(c.req.param('id') ?? '');
    const done = await deactivateSandbox(operation(c, 'deactivate a sandbox'), deps, team.id, id);
    return c.json({ ...done, reclaimedBytes: Math.max(0, done.beforeBytes - done.afterBytes) });
  });

  on('GET', '/node/orphans', async (c, team) => {
    requireOperator(team);
    return c.json(await deps.node.listOrphans());
  });
  on('POST', '/node/orphans/purge', async (c, team) => {
    requireOperator(team);
    const { sandboxIds } = await readBody(c.req.raw, purgeRequest);
    return c.json({
      purged: await purgeOrphans(operation(c, 'purge orphans'), deps, sandboxIds ?? undefined),
    });
  });
  on('POST', '/node/cgroup/recreate', async (c, team) => {
    requireOperator(team);
    const op = operation(c, 'recreate the control group');
    await op.phase('recreate cgroup', () => deps.node.recreateCgroup(op));
    return c.body(null, 204);
  });
  on('DELETE', '/node/networks/:index', async (c, team) => {
    requireOperator(team);
    const index = c.req.param('index') ?? '';
    const op = operation(c, 'clean a network slot');
    await cleanNetworks(op, deps, [/^\d{1,9}$/.test(index) ? Number(index) : Number.NaN]);
    return c.body(null, 204);
  });
}

/** The host holds what is of every team: only the one that the server itself made a key for may touch it. */
function requireOperator(team: Team): void {
  if (team.name === 'default') return;
  throw new SandboxError('permission_denied', 'Only the operator of this server may do this', {
    hint: 'Use the key of the team `default`, which `sandbox-cli env` prints on the server.',
  });
}
