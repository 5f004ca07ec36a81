import type { NodeService, TemplateInfo } from '@sandbox-backend/protocol';

/** Every template that a sandbox can be started from, by name. */
export const listTemplates = (deps: { node: Pick<NodeService, 'listTemplates'> }): Promise<TemplateInfo[]> =>
  deps.node.listTemplates();
