import { Operation } from '@sandbox-backend/kit';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { createSnapshot } from '../../snapshots/create.ts';
import { listSnapshots } from '../../snapshots/list.ts';
import { check, readBody } from './body.ts';
import { readPageToken, writePageToken } from './page-token.ts';
import type { Routes } from './routes.ts';
import { readSandboxId } from './sandbox-id.ts';
import * as schemas from './schemas.ts';
import { serverTiming } from './server-timing.ts';
import { snapshotJson, snapshotName } from './wire.ts';

/** A snapshot copies memory and disk; both may be gigabytes. */
const SNAPSHOT_TIMEOUT_MS = 10 * 60_000;

export function snapshotRoutes({ on }: Routes, deps: SandboxDeps): void {
  on('POST', '/sandboxes/:id/snapshots', async (c, team) => {
    const { name } = await readBody(c.req.raw, schemas.snapshotRequest);
    const op = new Operation('make a snapshot', {
      timeoutMs: SNAPSHOT_TIMEOUT_MS,
      signal: c.req.raw.signal,
      traceParent: c.req.header('traceparent'),
    });
    const made = await createSnapshot(op, deps, team.id, readSandboxId(c.req.param('id') ?? ''), {
      name: name ? snapshotName(name) : undefined,
    });
    c.header('Server-Timing', serverTiming(op));
    return c.json(snapshotJson(made), 201);
  });

  on('GET', '/snapshots', (c, team) => {
    const query = check(schemas.snapshotsQuery, c.req.query(), 'query');
    const after = query.nextToken ? readPageToken(query.nextToken) : undefined;
    const { snapshots, next } = listSnapshots(deps, team.id, {
      limit: query.limit,
      sandboxId: query.sandboxID && readSandboxId(query.sandboxID),
      name: query.name && snapshotName(query.name),
      after: after && { createdAt: after.startedAt, name: after.id },
    });
    if (next) c.header('X-Next-Token', writePageToken({ startedAt: next.createdAt, id: next.name }));
    return c.json(snapshots.map(snapshotJson));
  });
}
