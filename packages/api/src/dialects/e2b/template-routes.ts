import { Operation } from '@sandbox-backend/kit';
import type { Context } from 'hono';
import type { Team } from '../../db/keys.ts';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { deleteTemplate } from '../../templates/delete.ts';
import { resolveTemplate } from '../../templates/find.ts';
import { listTemplates } from '../../templates/list.ts';
import type { Routes } from './routes.ts';
import { templateJson, templateWithBuildsJson } from './wire.ts';

export function templateRoutes({ on }: Routes, deps: Pick<SandboxDeps, 'node' | 'snapshots'>): void {
  const find = (c: Context, team: Team) => resolveTemplate(deps, team.id, c.req.param('id') ?? '');

  on('GET', '/templates', async (c) => c.json((await listTemplates(deps)).map(templateJson)));
  on('GET', '/templates/aliases/:id', async (c, team) => {
    const { name } = await find(c, team);
    return c.json({ templateID: name, public: false });
  });
  on('GET', '/templates/:id', async (c, team) => c.json(templateWithBuildsJson(await find(c, team))));
  on('DELETE', '/templates/:id', async (c, team) => {
    await deleteTemplate(
      new Operation('delete a template', { timeoutMs: 60_000 }),
      deps,
      team.id,
      c.req.param('id') ?? '',
    );
    return c.body(null, 204);
  });
}
