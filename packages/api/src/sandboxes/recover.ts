import { log, type Operation } from '@sandbox-backend/kit';
import type { SandboxDeps } from './deps.ts';
import { reconcile } from './reconcile.ts';

/** Makes rows and machines agree, before the first request is served. Errors: those of the node. */
export async function recoverSandboxes(
  op: Operation,
  deps: Pick<SandboxDeps, 'rows' | 'node' | 'now'>,
): Promise<void> {
  const reported = new Set(deps.node.list().map(({ sandboxId }) => sandboxId));
  const actions = reconcile(deps.rows.live(), reported);
  const stops = actions.filter((action) => action.do === 'stop');
  await op.phase('stop strays', () => Promise.all(stops.map(({ id }) => deps.node.stop(op, id))));
  for (const action of actions) {
    if (action.do !== 'mark') continue;
    const ended = action.to === 'gone' || action.to === 'failed';
    deps.rows.move(
      action.id,
      [action.from],
      action.to,
      ended ? { endedAt: deps.now(), endReason: action.reason } : {},
    );
  }
  if (actions.length > 0) log('info', 'sandbox.recover', { kept: reported.size - stops.length, actions });
}
