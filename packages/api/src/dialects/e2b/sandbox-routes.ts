import { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Context } from 'hono';
import { connectSandbox } from '../../sandboxes/connect.ts';
import { type CreateSpec, createSandbox } from '../../sandboxes/create.ts';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { findSandbox } from '../../sandboxes/find.ts';
import { killSandbox } from '../../sandboxes/kill.ts';
import { listSandboxes } from '../../sandboxes/list.ts';
import { sandboxLogs } from '../../sandboxes/logs.ts';
import { metricsOfMany, sandboxMetrics } from '../../sandboxes/metrics.ts';
import { extendTimeout, setTimeoutOf } from '../../sandboxes/set-timeout.ts';
import { templateName } from '../../templates/find.ts';
import { check, readBody } from './body.ts';
import { parseMetadataFilter } from './metadata-filter.ts';
import { readPageToken, writePageToken } from './page-token.ts';
import type { Handler, Routes } from './routes.ts';
import { readSandboxId } from './sandbox-id.ts';
import * as schemas from './schemas.ts';
import { serverTiming } from './server-timing.ts';
import { allowsInternet, refuseUnsupported } from './unsupported.ts';
import {
  listedSandboxJson,
  logEntryJson,
  logLineJson,
  metricJson,
  sandboxDetailJson,
  sandboxJson,
} from './wire.ts';

export type SandboxRoutesOptions = {
  /** The domain that clients build the hosts of sandboxes from; undefined leaves it to their configuration. */
  domain?: string | undefined;
  createTimeoutMs: number;
};

const READ_TIMEOUT_MS = 30_000;
/** More than one host carries; the first version of the list has no pages. */
const ALL = 100_000;

export function sandboxRoutes({ on }: Routes, deps: SandboxDeps, options: SandboxRoutesOptions): void {
  const { domain } = options;
  const id = (c: Context) => readSandboxId(c.req.param('id') ?? '');
  const read = (c: Context, name: string) =>
    new Operation(name, { timeoutMs: READ_TIMEOUT_MS, signal: c.req.raw.signal });

  const create =
    (defaults: { timeoutSeconds: number; secure: boolean | undefined }): Handler =>
    async (c, team) => {
      const body = await readBody(c.req.raw, schemas.newSandbox);
      refuseUnsupported(body);
      const spec = createSpec(body, defaults);
      const op = new Operation('create a sandbox', {
        timeoutMs: options.createTimeoutMs,
        signal: c.req.raw.signal,
        traceParent: c.req.header('traceparent'),
      });
      const row = await createSandbox(op, deps, team.id, { ...spec, ...ownWishes(c) }).finally(() =>
        c.header('Server-Timing', serverTiming(op)),
      );
      return c.json(sandboxJson(row, domain), 201);
    };
  on('POST', '/sandboxes', create({ timeoutSeconds: 15, secure: undefined }));
  on('POST', '/v2/sandboxes', create({ timeoutSeconds: 300, secure: true }));

  on('GET', '/sandboxes', (c, team) => {
    const { metadata = '' } = check(schemas.listQuery.pick({ metadata: true }), c.req.query(), 'query');
    const { sandboxes } = listSandboxes(deps, team.id, {
      states: ['running'],
      order: 'desc',
      limit: ALL,
      metadata: parseMetadataFilter(metadata),
    });
    return c.json(sandboxes.map(listedSandboxJson));
  });
  on('GET', '/v2/sandboxes', (c, team) => {
    const query = check(schemas.listQuery, joinStates(c), 'query');
    const { sandboxes, next, totalRunning } = listSandboxes(deps, team.id, {
      states: query.state ?? ['running', 'paused'],
      order: query.order,
      limit: query.limit,
      metadata: parseMetadataFilter(query.metadata ?? ''),
      ...(query.startedAfter !== undefined && { startedAfter: query.startedAfter }),
      ...(query.template && { template: templateName(query.template) ?? query.template }),
      ...(query.nextToken && { after: readPageToken(query.nextToken) }),
    });
    if (next) c.header('X-Next-Token', writePageToken(next));
    c.header('X-Total-Running', String(totalRunning));
    return c.json(sandboxes.map(listedSandboxJson));
  });

  on('GET', '/sandboxes/metrics', async (c, team) => {
    const { sandbox_ids } = check(schemas.manyMetricsQuery, c.req.query(), 'query');
    const op = read(c, 'read the metrics of sandboxes');
    const found = await metricsOfMany(op, deps, team.id, [...new Set(sandbox_ids.map(readSandboxId))]);
    return c.json({
      sandboxes: Object.fromEntries(
        [...found].map(([sandboxId, metrics]) => [sandboxId, metricJson(metrics)]),
      ),
    });
  });

  on('GET', '/sandboxes/:id', (c, team) =>
    c.json(sandboxDetailJson(findSandbox(deps, team.id, id(c)), domain)),
  );

  const kill: Handler = async (c, team) => {
    await killSandbox(deps, team.id, id(c), c.req.header('traceparent'));
    return c.body(null, 204);
  };
  on('DELETE', '/sandboxes/:id', kill);
  on('DELETE', '/v2/sandboxes/:id', kill);

  on('POST', '/sandboxes/:id/timeout', async (c, team) => {
    const { timeout } = await readBody(c.req.raw, schemas.timeoutRequest);
    setTimeoutOf(deps, team.id, id(c), timeout);
    return c.body(null, 204);
  });
  on('POST', '/sandboxes/:id/refreshes', async (c, team) => {
    const { duration } = await readBody(c.req.raw, schemas.refreshRequest);
    extendTimeout(deps, team.id, id(c), duration ?? 15);
    return c.body(null, 204);
  });

  const connect: Handler = async (c, team) => {
    const { timeout } = await readBody(c.req.raw, schemas.connectRequest);
    return c.json(sandboxJson(connectSandbox(deps, team.id, id(c), timeout ?? undefined), domain));
  };
  on('POST', '/sandboxes/:id/connect', connect);
  on('POST', '/v2/sandboxes/:id/connect', connect);

  on('GET', '/sandboxes/:id/metrics', async (c, team) => {
    const { start = 0, end = Infinity } = check(schemas.metricsQuery, c.req.query(), 'query');
    const metrics = await sandboxMetrics(read(c, 'read metrics'), deps, team.id, id(c));
    const asked = metrics.timestampUnix >= start && metrics.timestampUnix <= end;
    return c.json(asked ? [metricJson(metrics)] : []);
  });

  on('GET', '/sandboxes/:id/logs', async (c, team) => {
    const { start, limit } = check(schemas.logsQuery, c.req.query(), 'query');
    const query = { cursor: start, limit, direction: 'forward' } as const;
    const lines = await sandboxLogs(read(c, 'read logs'), deps, team.id, id(c), query);
    return c.json({ logs: lines.map(logLineJson), logEntries: lines.map(logEntryJson) });
  });
  on('GET', '/v2/sandboxes/:id/logs', async (c, team) => {
    const query = check(schemas.logsV2Query, c.req.query(), 'query');
    const lines = await sandboxLogs(read(c, 'read logs'), deps, team.id, id(c), query);
    return c.json({ logs: lines.map(logEntryJson) });
  });
}

function createSpec(
  body: schemas.NewSandbox,
  defaults: { timeoutSeconds: number; secure: boolean | undefined },
): CreateSpec {
  const secure = defaults.secure ?? body.secure ?? false;
  const publicTraffic = body.network?.allowPublicTraffic !== false;
  if (!publicTraffic && !secure) {
    throw new SandboxError('invalid_argument', 'network.allowPublicTraffic false needs secure true', {
      hint: 'Set secure to true, so that nobody reaches the files and processes of the sandbox either.',
    });
  }
  return {
    template: body.templateID,
    timeoutSeconds: body.timeout ?? defaults.timeoutSeconds,
    metadata: body.metadata ?? {},
    env: body.envVars ?? {},
    secure,
    allowInternet: allowsInternet(body),
    publicTraffic,
    maskRequestHost: body.network?.maskRequestHost ?? undefined,
  };
}

/** What our CLI can ask for and the protocol has no field for. */
const ownWishes = (c: Context): Partial<CreateSpec> => {
  const sandboxId = c.req.header('X-Sandbox-Id');
  return {
    cold: c.req.header('X-Sandbox-Cold') === '1',
    diffSnapshots: c.req.header('X-Sandbox-Diff-Snapshots') === '1',
    ...(sandboxId !== undefined && { sandboxId }),
  };
};

/** `state=running,paused` and `state=running&state=paused` say the same. */
const joinStates = (c: Context) => {
  const states = c.req.queries('state');
  return { ...c.req.query(), ...(states && { state: states.join(',') }) };
};
