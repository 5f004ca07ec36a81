import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RoomSpec } from '@sandbox-backend/host';
import { isAlive, type ProcessRef, processStartTime, writeFileAtomic } from '@sandbox-backend/kit';
import type { MachineRef } from '@sandbox-backend/vmm';
import { paths } from './builds/paths.ts';

/**
 * What is on disk of one machine, enough for a later run of the server to find it again or to clean
 * up after it. Written with the slot before the VMM starts, with `machine` before the guest runs,
 * and with `sandbox` before anyone is told of it.
 */
export type MachineRecord = {
  schema: 1;
  machineId: string;
  template: string;
  buildId: string;
  /** The process that made it: while it lives, the machine is its own and nobody else's to clean up. */
  owner: ProcessRef;
  /** Holds the slot too. */
  room: RoomSpec;
  machine?: MachineRef;
  sandbox?: SandboxRecord;
};

export type SandboxRecord = {
  sandboxId: string;
  accessToken?: string;
  /** What the client set for every process; a snapshot keeps it. */
  env?: Record<string, string>;
  /** RFC 3339. */
  startedAt: string;
};

export const machineDirectory = (dataRoot: string, machineId: string) =>
  join(paths.machines(dataRoot), machineId);

export async function writeRecord(dataRoot: string, record: MachineRecord): Promise<void> {
  const file = join(machineDirectory(dataRoot, record.machineId), 'ref.json');
  await writeFileAtomic(file, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600 });
}

export const thisProcess = async (): Promise<ProcessRef> => ({
  pid: process.pid,
  startTime: (await processStartTime(process.pid)) ?? '',
});

/** True when another process that still lives looks after the machine. */
export async function isOwnedByOther(record: MachineRecord): Promise<boolean> {
  return record.owner.pid !== process.pid && (await isAlive(record.owner));
}

/** The records of all machines; a folder without one was never given a slot. */
export async function readRecords(
  dataRoot: string,
): Promise<{ machineId: string; record: MachineRecord | undefined }[]> {
  const ids = await readdir(paths.machines(dataRoot)).catch(() => []);
  return Promise.all(
    ids.map(async (machineId) => {
      const text = await readFile(join(machineDirectory(dataRoot, machineId), 'ref.json'), 'utf8').catch(
        () => '',
      );
      return { machineId, record: parse(text) };
    }),
  );
}

function parse(text: string): MachineRecord | undefined {
  try {
    const record = JSON.parse(text) as MachineRecord;
    return record.schema === 1 ? record : undefined;
  } catch {
    return undefined;
  }
}
