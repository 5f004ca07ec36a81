import { type MetricFamily, Operation, PROMETHEUS_TYPE, prometheusText } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Context } from 'hono';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { findRunning } from '../../sandboxes/find.ts';
import { scrapeSandboxes } from '../../sandboxes/scrape.ts';
import { statesSeenAs } from '../../sandboxes/state.ts';
import type { Routes } from '../e2b/routes.ts';
import { readSandboxId } from '../e2b/sandbox-id.ts';
import { sandboxFamilies } from './sandbox-families.ts';

export type PrometheusOptions = {
  /** Of the server as a whole: what it counted and measured. */
  readMetrics(): Promise<readonly MetricFamily[]>;
};

const TIMEOUT_MS = 30_000;
/** More than one host carries. */
const ALL = 100_000;

/** What Prometheus scrapes: the server, the team's sandboxes, and where to find them. */
export function prometheusRoutes({ on }: Routes, deps: SandboxDeps, options: PrometheusOptions): void {
  const answer = (c: Context, families: readonly MetricFamily[]) =>
    c.body(prometheusText(families), 200, { 'Content-Type': PROMETHEUS_TYPE });
  const running = (teamId: string) =>
    deps.rows.list({ teamId, states: statesSeenAs(['running']), order: 'asc', limit: ALL });

  on('GET', '/metrics', async (c, team) => {
    // It tells of the host, and of every team's templates by name.
    if (team.name !== 'default') {
      throw new SandboxError('permission_denied', 'The metrics of the server are for the default team', {
        hint: 'GET /metrics/sandboxes has those of your own sandboxes.',
      });
    }
    return answer(c, await options.readMetrics());
  });

  on('GET', '/metrics/sandboxes', async (c, team) => {
    const op = new Operation('scrape sandboxes', { timeoutMs: TIMEOUT_MS, signal: c.req.raw.signal });
    return answer(c, sandboxFamilies(await scrapeSandboxes(op, deps, running(team.id))));
  });

  on('GET', '/metrics/sandboxes/:id', async (c, team) => {
    const op = new Operation('scrape a sandbox', { timeoutMs: TIMEOUT_MS, signal: c.req.raw.signal });
    const row = findRunning(deps, team.id, readSandboxId(c.req.param('id') ?? ''));
    return answer(c, sandboxFamilies(await scrapeSandboxes(op, deps, [row])));
  });

  // The form of `http_sd_configs`: one target for each sandbox, scraped here and not in the guest.
  on('GET', '/metrics/targets', (c, team) => {
    const { host, protocol } = new URL(c.req.url);
    return c.json(
      running(team.id).map(({ id, template }) => ({
        targets: [host],
        labels: {
          __scheme__: protocol.slice(0, -1),
          __metrics_path__: `/metrics/sandboxes/${id}`,
          __meta_sandbox_template: template,
          instance: id, // else all would be one
        },
      })),
    );
  });
}
