import { Operation } from '@sandbox-backend/kit';
import type { SandboxDeps } from './deps.ts';
import { noSuchSandbox } from './find.ts';

/** Kills a sandbox of the team, whatever it is doing. Errors: `not_found`, and those of the node. */
export async function killSandbox(
  deps: SandboxDeps,
  teamId: string,
  id: string,
  traceParent?: string,
): Promise<void> {
  const row = deps.rows.find(id);
  if (row?.teamId !== teamId) throw noSuchSandbox(id);
  if (!(await endSandbox(deps, id, 'killed', traceParent))) throw noSuchSandbox(id);
}

/**
 * Ends a sandbox for good and frees what it held. From the first line on it is invisible and its
 * connections are cut; no client can interrupt the rest. Called again, it waits for the first call,
 * or tries again what that could not finish; so does the reaper. False when there is nothing to end.
 */
export async function endSandbox(
  deps: SandboxDeps,
  id: string,
  reason: string,
  traceParent?: string,
): Promise<boolean> {
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
  const op = new Operation(`kill the sandbox ${id}`, { timeoutMs: 60_000, traceParent });
  Object.assign(op.attributes, { sandbox: id, template: deps.rows.find(id)?.template ?? '', reason });
  const kill = op.observe('sandbox.kill', () => stop(op, deps, id)).finally(() => deps.kills.delete(id));
  deps.kills.set(id, kill);
  try {
    await kill;
  } catch (caught) {
    deps.wakeReaper();
    throw caught;
  }
  return true;
}

async function stop(op: Operation, deps: SandboxDeps, id: string): Promise<void> {
  const start = deps.starts.get(id);
  start?.abort.abort();
  if (start) await op.phase('wait for its start', () => start.settled);
  await op.phase('stop', () => deps.node.stop(op, id));
  deps.rows.move(id, ['killing'], 'gone', { endedAt: deps.now() });
}
