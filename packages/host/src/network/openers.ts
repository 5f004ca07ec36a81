import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, type ProcessRef, processStartTime, writeFileAtomic } from '@sandbox-backend/kit';

/**
 * Who has the pool open: a file for each, `<stateDir>/pools/<id>.json`. The rules in the host's
 * namespace are shared, and are removed by the last one. Call these with the lock held.
 */
const poolsDirectory = (stateDir: string) => join(stateDir, 'pools');

/** Adds this process; the answer removes it again. */
export async function registerPool(stateDir: string): Promise<() => Promise<void>> {
  await mkdir(poolsDirectory(stateDir), { recursive: true, mode: 0o700 });
  const file = join(poolsDirectory(stateDir), `${randomUUID()}.json`);
  const self: ProcessRef = { pid: process.pid, startTime: (await processStartTime(process.pid)) ?? '' };
  await writeFileAtomic(file, JSON.stringify(self), { mode: 0o600 });
  return () => rm(file, { force: true });
}

/** True when a process that lives has the pool open; what dead ones left is removed. */
export async function isPoolOpen(stateDir: string): Promise<boolean> {
  let open = false;
  for (const name of await readdir(poolsDirectory(stateDir)).catch(() => [])) {
    const file = join(poolsDirectory(stateDir), name);
    if (await isAlive(await readHolder(file))) open = true;
    else await rm(file, { force: true });
  }
  return open;
}

const readHolder = async (file: string): Promise<ProcessRef> => {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as ProcessRef;
  } catch {
    return { pid: -1, startTime: '' };
  }
};
