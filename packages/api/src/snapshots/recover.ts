import { log } from '@sandbox-backend/kit';
import type { SandboxDeps } from '../sandboxes/deps.ts';

/** Drops the rows of snapshots that were never finished: a server that dies in the making leaves a row and no build. */
export async function recoverSnapshots(deps: Pick<SandboxDeps, 'snapshots' | 'node'>): Promise<void> {
  for (const { name } of deps.snapshots.all()) {
    if (await deps.node.findTemplate(name)) continue;
    deps.snapshots.remove(name);
    log('info', 'snapshot.recover', { name, removed: true });
  }
}
