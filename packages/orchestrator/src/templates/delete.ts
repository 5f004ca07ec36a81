import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { randomId } from '@sandbox-backend/kit';
import { findTemplate, paths } from '@sandbox-backend/machines';
import { SandboxError } from '@sandbox-backend/protocol';
import type { WarmPool } from '../pool/warm-pool.ts';
import type { Residents } from '../resident.ts';

/** Removes a template and all its builds; false when there is none. Memory of a running sandbox is never taken away. */
export async function deleteTemplate(
  deps: { dataRoot: string; pool: WarmPool; residents: Residents },
  name: string,
): Promise<boolean> {
  if (!(await findTemplate(deps.dataRoot, name))) return false;
  const users = [...deps.residents.values()].filter((resident) => resident.info.template === name);
  if (users.length > 0) {
    throw new SandboxError(
      'failed_precondition',
      `${users.length} sandboxes still run from the template ${name}`,
      {
        hint: `Delete them first, for example ${users[0]?.info.sandboxId}.`,
      },
    );
  }
  await deps.pool.forget(name);
  // Out of sight in one step: a half-removed template is never visible.
  const aside = join(paths.templates(deps.dataRoot), `.deleted-${randomId('t')}`);
  await rename(paths.template(deps.dataRoot, name), aside);
  await rm(aside, { recursive: true, force: true });
  return true;
}
