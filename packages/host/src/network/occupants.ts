import { readdir, stat } from 'node:fs/promises';
import { type ProcessRef, processStartTime } from '@sandbox-backend/kit';

/** The processes that run inside a network namespace. */
export async function occupants(name: string): Promise<ProcessRef[]> {
  const namespace = await inode(`/run/netns/${name}`);
  if (namespace === undefined) return [];
  const found: ProcessRef[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || (await inode(`/proc/${name}/ns/net`)) !== namespace) continue;
    const startTime = await processStartTime(Number(name));
    if (startTime) found.push({ pid: Number(name), startTime });
  }
  return found;
}

const inode = (path: string) =>
  stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );
