import { Operation } from '@sandbox-backend/kit';
import type { SandboxDeps } from './deps.ts';
import { noSuchSandbox } from './find.ts';

/** Kills a sandbox of the team, whatever it is doing. Errors: `not_found`, and those of the node. */
export async function killSandbox(deps: SandboxDeps, teamId: string, id: string): Promise<void> {
  const row = deps.rows.find(id);
  if (row?.teamId !== teamId) throw noSuchSandbox(id);
  if (!(await endSandbox(deps, id, 'killed'))) throw noSuchSandbox(id);
}

/**
 * Ends a sandbox for good and frees what it held. From the first line on it is invisible and its
 * connections are cut; no client can interrupt the rest. Called again, it waits for the first call,
 * or tries again what that could not finish; so does the reaper. False when there is nothing to end.
 */
export async function endSandbox(deps: SandboxDeps, id: string, reason: string): Promise<boolean> {
  const underWay = deps.kills.get(id);
  if (underWay !== undefined) {
    await underWay;
    return true;
  }
  const moved = deps.rows.move(id, ['starting', 'running', 'pausing', 'paused', 'resuming'], 'killing', {
    endReason: reason,
  });
  if (!moved && deps.rows.find(id)?.state !== 'killing') return false;
  deps.endConnections(id);
  const kill = stop(deps, id).finally(() => deps.kills.delete(id));
  deps.kills.set(id, kill);
  try {
    await kill;
  } catch (caught) {
    deps.wakeReaper();
    throw caught;
  }
  return true;
}

async function stop(deps: SandboxDeps, id: string): Promise<void> {
  const start = deps.starts.get(id);
  start?.abort.abort();
  await start?.settled;
  await deps.node.stop(new Operation(`kill the sandbox ${id}`, { timeoutMs: 60_000 }), id);
  deps.rows.move(id, ['killing'], 'gone', { endedAt: deps.now() });
}
