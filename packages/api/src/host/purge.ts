import type { Operation } from '@sandbox-backend/kit';
import { checkSandboxId, type NodeService, SandboxError } from '@sandbox-backend/protocol';

/**
 * Ends orphans, all of them or those named, and answers with the ids of those that are gone. When one of the names
 * is no orphan's, nothing is touched: a sandbox that somebody looks after is never purged.
 *
 * Errors: `invalid_argument`, `not_found`, and those of the node.
 */
export async function purgeOrphans(
  op: Operation,
  deps: { node: Pick<NodeService, 'listOrphans' | 'purgeOrphans' | 'find'> },
  ids: readonly string[] | undefined,
): Promise<string[]> {
  if (ids === undefined) return op.phase('purge', () => deps.node.purgeOrphans(op));
  const wanted = [...new Set(ids.map(checkSandboxId))];
  const orphans = new Set((await deps.node.listOrphans()).map(({ sandboxId }) => sandboxId));
  const missing = wanted.find((id) => !orphans.has(id));
  if (missing !== undefined) {
    throw new SandboxError('not_found', `There is no orphan ${missing}; nothing was purged`, {
      hint: deps.node.find(missing)
        ? 'It is a sandbox that runs: delete it instead.'
        : '`sandbox-cli sandbox ls --orphan` lists them.',
    });
  }
  return op.phase('purge', () => deps.node.purgeOrphans(op, wanted));
}
