import type { Call, NodeService } from '@sandbox-backend/protocol';
import type { SnapshotRows } from '../db/snapshots.ts';
import { reserveName } from '../snapshots/reserve.ts';
import { resolveTemplate } from './find.ts';

/** Deletes a template or a snapshot of the team. Errors: `not_found`, `failed_precondition` while a sandbox runs from it or a snapshot of the name is made. */
export async function deleteTemplate(
  call: Call,
  deps: {
    node: Pick<NodeService, 'findTemplate' | 'deleteTemplate'>;
    snapshots: Pick<SnapshotRows, 'find' | 'remove'>;
  },
  teamId: string,
  reference: string,
): Promise<void> {
  const { name } = await resolveTemplate(deps, teamId, reference);
  using _name = reserveName(deps.snapshots, name);
  await deps.node.deleteTemplate(call, name);
  deps.snapshots.remove(name);
}
