import { isTemplateName, type NodeService, SandboxError, type TemplateInfo } from '@sandbox-backend/protocol';
import type { SnapshotRows } from '../db/snapshots.ts';

type Deps = { node: Pick<NodeService, 'findTemplate'>; snapshots: Pick<SnapshotRows, 'find'> };

/**
 * The template, or the team's snapshot, that `name` or `name:default` refers to. Other tags and namespaces do not exist here
 * yet, so a reference to one finds nothing. Errors: `not_found`.
 */
export async function resolveTemplate(deps: Deps, teamId: string, reference: string): Promise<TemplateInfo> {
  const name = templateName(reference);
  const found = name === undefined ? undefined : await deps.node.findTemplate(name);
  const isTheirs = found?.manifest.snapshotOf && deps.snapshots.find(found.name)?.teamId !== teamId;
  if (found && !isTheirs) return found;
  const shown = reference.length > 100 ? `${reference.slice(0, 100)}…` : reference;
  throw new SandboxError('not_found', `template '${shown}' not found`, {
    hint: 'List the templates with `sandbox-cli template ls`, or build this one with `template-manager`.',
  });
}

/** The name in a reference; undefined when nothing can have that name. */
export function templateName(reference: string): string | undefined {
  const name = reference.endsWith(':default') ? reference.slice(0, -':default'.length) : reference;
  return isTemplateName(name) ? name : undefined;
}
