import { Operation } from '@sandbox-backend/kit';
import type { NodeService } from '@sandbox-backend/protocol';
import type { Context } from 'hono';
import { deleteTemplate } from '../../templates/delete.ts';
import { resolveTemplate } from '../../templates/find.ts';
import { listTemplates } from '../../templates/list.ts';
import type { Routes } from './routes.ts';
import { templateJson, templateWithBuildsJson } from './wire.ts';

export function templateRoutes({ on }: Routes, deps: { node: NodeService }): void {
  const find = (c: Context) => resolveTemplate(deps, c.req.param('id') ?? '');

  on('GET', '/templates', async (c) => c.json((await listTemplates(deps)).map(templateJson)));
  on('GET', '/templates/aliases/:id', async (c) => {
    const { name } = await find(c);
    return c.json({ templateID: name, public: false });
  });
  on('GET', '/templates/:id', async (c) => c.json(templateWithBuildsJson(await find(c))));
  on('DELETE', '/templates/:id', async (c) => {
    await deleteTemplate(
      new Operation('delete a template', { timeoutMs: 60_000 }),
      deps,
      c.req.param('id') ?? '',
    );
    return c.body(null, 204);
  });
}
