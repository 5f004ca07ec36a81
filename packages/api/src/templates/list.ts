import type { NodeService, TemplateInfo } from '@sandbox-backend/protocol';

/** Every template, by name; snapshots of sandboxes have a list of their own. */
export const listTemplates = async (deps: {
  node: Pick<NodeService, 'listTemplates'>;
}): Promise<TemplateInfo[]> =>
  (await deps.node.listTemplates()).filter(({ manifest }) => manifest.snapshotOf === undefined);
