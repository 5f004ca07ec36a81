import type { Call, NodeService } from '@sandbox-backend/protocol';
import { resolveTemplate } from './find.ts';

/** Errors: `not_found`, `failed_precondition` while a sandbox runs from it. */
export async function deleteTemplate(
  call: Call,
  deps: { node: Pick<NodeService, 'findTemplate' | 'deleteTemplate'> },
  reference: string,
): Promise<void> {
  const { name } = await resolveTemplate(deps, reference);
  await deps.node.deleteTemplate(call, name);
}
