import type { Operation } from '@sandbox-backend/kit';
import type { Deactivation } from '@sandbox-backend/protocol';
import type { SandboxDeps } from './deps.ts';
import { findRunning } from './find.ts';

/** Gives the memory of an idle sandbox back to the host; it runs on. Errors: `not_found`, and those of the node. */
export async function deactivateSandbox(
  op: Operation,
  deps: Pick<SandboxDeps, 'rows' | 'node'>,
  teamId: string,
  id: string,
): Promise<Deactivation> {
  return op.observe('sandbox.deactivate', async () => {
    const { template } = findRunning(deps, teamId, id);
    Object.assign(op.attributes, { sandbox: id, template, team: teamId });
    const done = await op.phase('deactivate', () => deps.node.deactivate(op, id));
    op.attributes.reclaimedBytes = Math.max(0, done.beforeBytes - done.afterBytes);
    return done;
  });
}
