import type { Operation } from '@sandbox-backend/kit';
import { type NodeService, SandboxError } from '@sandbox-backend/protocol';

/** More slots than a host has. */
const LARGEST_INDEX = 2 ** 24;

/** Takes the namespaces, links and rules of slots away, one after the other. Errors: `invalid_argument`, and those of the node. */
export async function cleanNetworks(
  op: Operation,
  deps: { node: Pick<NodeService, 'cleanNetwork'> },
  indexes: readonly number[],
): Promise<void> {
  const wrong = indexes.find((index) => !Number.isInteger(index) || index < 0 || index > LARGEST_INDEX);
  if (wrong !== undefined) {
    throw new SandboxError('invalid_argument', `${wrong} is not the index of a network slot`, {
      hint: '`sandbox-cli sandbox ls --orphan` shows the index of each orphan.',
    });
  }
  for (const index of new Set(indexes)) {
    await op.phase('clean network', () => deps.node.cleanNetwork(op, index));
  }
}
