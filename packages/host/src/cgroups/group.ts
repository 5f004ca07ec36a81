import { readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SandboxError } from '@sandbox-backend/protocol';

/** Ends what runs in the folders of one group, and removes them; folders that are gone are fine. */
export async function removeGroup(folders: readonly string[]): Promise<void> {
  const deadline = performance.now() + 15_000;
  for (let delayMs = 1; ; delayMs = Math.min(delayMs * 2, 100)) {
    const pids = new Set((await Promise.all(folders.map(readProcesses))).flat());
    for (const pid of pids) kill(pid);
    if (pids.size === 0 && (await Promise.all(folders.map(tryRemove))).every(Boolean)) return;
    if (performance.now() > deadline) {
      throw new SandboxError('internal', `control group ${folders[0]} could not be emptied`, {
        hint: `Processes that are left: ${[...pids].join(' ') || 'none'}.`,
      });
    }
    await sleep(delayMs);
  }
}

async function readProcesses(folder: string): Promise<number[]> {
  const text = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
  return text.split('\n').filter(Boolean).map(Number);
}

function kill(pid: number): void {
  try {
    // 0 stands for a process of another pid namespace; as an argument it would mean this one's own group.
    if (pid > 1) process.kill(pid, 'SIGKILL');
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code !== 'ESRCH') throw caught;
  }
}

/** A group stays busy for a moment after its last process ended. */
async function tryRemove(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (caught) {
    const { code } = caught as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    throw caught;
  }
}

export const readNumber = async (file: string) => Number((await readFile(file, 'utf8')).trim());

/** True when the value was taken. */
export const tryWrite = (file: string, value: number | string) =>
  writeFile(file, `${value}`).then(
    () => true,
    () => false,
  );
