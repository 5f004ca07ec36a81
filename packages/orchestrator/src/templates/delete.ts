import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireFileLock, randomId } from '@sandbox-backend/kit';
import { findTemplate, paths, readRecords } from '@sandbox-backend/machines';
import { SandboxError } from '@sandbox-backend/protocol';
import type { WarmPool } from '../pool/warm-pool.ts';

const ASIDE = '.deleted-';

/**
 * Removes a template and all its builds; false when there is none. Memory of a running sandbox is never taken away.
 * Errors: `failed_precondition` while a machine is made or runs from it, or a build or snapshot of the name is made.
 */
export async function deleteTemplate(
  deps: { dataRoot: string; pool: WarmPool },
  name: string,
): Promise<boolean> {
  if (!(await findTemplate(deps.dataRoot, name))) return false;
  await using _lock = await acquireFileLock(
    join(paths.builds(deps.dataRoot, name), '.lock'),
    `the template ${name}`,
  );
  await deps.pool.forget(name);
  const records = await readRecords(deps.dataRoot);
  const users = records.flatMap(({ record }) => (record?.template === name ? record : []));
  if (users.length > 0) {
    const [first] = users;
    throw new SandboxError(
      'failed_precondition',
      `${users.length} sandboxes still run from the template ${name}`,
      { hint: `Delete them first, for example ${first?.sandbox?.sandboxId ?? first?.machineId}.` },
    );
  }
  // Out of sight in one step: a half-removed template is never visible.
  const aside = join(paths.templates(deps.dataRoot), `${ASIDE}${randomId('t')}`);
  await rename(paths.template(deps.dataRoot, name), aside);
  await rm(aside, { recursive: true, force: true });
  return true;
}

/** What a server left that was killed while it removed a template. */
export async function removeDeletedTemplates(dataRoot: string): Promise<void> {
  const folder = paths.templates(dataRoot);
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.startsWith(ASIDE)) await rm(join(folder, name), { recursive: true, force: true });
  }
}
