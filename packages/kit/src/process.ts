import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process by pid and start time, so that a reused pid is never taken for it. */
export type ProcessRef = { pid: number; startTime: string };

/** Field 22 of /proc/PID/stat (clock ticks since boot); undefined when there is no such process or it is a zombie. */
export async function processStartTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command name, in parentheses, may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export async function isAlive(process: ProcessRef): Promise<boolean> {
  return (await processStartTime(process.pid)) === process.startTime;
}

/** Resolves when the process is gone; polls, since it need not be a child of this one. */
export async function waitForExit(
  process: ProcessRef,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  for (let delayMs = 2; await isAlive(process); delayMs = Math.min(delayMs * 1.5, 100)) {
    options.signal?.throwIfAborted();
    await sleep(delayMs);
  }
}

/** Sends SIGKILL and resolves when the process is gone; nothing happens when it is gone already. */
export async function killAndWait(ref: ProcessRef): Promise<void> {
  if (!(await isAlive(ref))) return;
  try {
    process.kill(ref.pid, 'SIGKILL');
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code !== 'ESRCH') throw caught;
  }
  await waitForExit(ref);
}
