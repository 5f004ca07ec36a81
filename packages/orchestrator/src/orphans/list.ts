import { isAlive } from '@sandbox-backend/kit';
import { type MachineRecord, readRecords } from '@sandbox-backend/machines';
import type { Orphan } from '@sandbox-backend/protocol';

/** Records whose owner has died: no server and no build that lives looks after these machines. */
export async function orphanRecords(dataRoot: string): Promise<MachineRecord[]> {
  const found: MachineRecord[] = [];
  for (const { record } of await readRecords(dataRoot)) {
    if (record && !(await isAlive(record.owner))) found.push(record);
  }
  return found;
}

export async function listOrphans(dataRoot: string): Promise<Orphan[]> {
  return Promise.all((await orphanRecords(dataRoot)).map(describeOrphan));
}

async function describeOrphan(record: MachineRecord): Promise<Orphan> {
  const { machine, sandbox } = record;
  const runs = machine && (await isAlive({ pid: machine.pid, startTime: machine.pidStartTime }));
  return {
    sandboxId: orphanId(record),
    template: record.template,
    pid: runs ? machine.pid : undefined,
    slotIndex: record.room.slot.index,
    startedAt: sandbox?.startedAt,
  };
}

export const orphanId = (record: MachineRecord) => record.sandbox?.sandboxId ?? record.machineId;
