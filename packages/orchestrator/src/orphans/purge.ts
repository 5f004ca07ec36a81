import { log, type Operation } from '@sandbox-backend/kit';
import { discardMachine, type MachineDeps } from '@sandbox-backend/machines';
import { orphanId, orphanRecords } from './list.ts';

/** Ends orphans, all of them or those named, and frees what they hold; the ids of those that are gone now. */
export async function purgeOrphans(
  op: Operation,
  deps: MachineDeps,
  ids: readonly string[] | undefined,
): Promise<string[]> {
  const gone: string[] = [];
  for (const record of await orphanRecords(deps.dataRoot)) {
    const id = orphanId(record);
    if (ids && !ids.includes(id)) continue;
    await op.phase('purge', () => discardMachine(op, deps, record));
    log('info', 'orphan.purge', { id, machineId: record.machineId });
    gone.push(id);
  }
  return gone;
}
