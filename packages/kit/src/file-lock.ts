import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import { isAlive, processStartTime } from './process.ts';

/**
 * Takes a lock between processes, as a file that names its holder; one left by a dead process is taken over.
 * Errors: `failed_precondition` while another process holds it.
 */
export async function acquireFileLock(path: string, what: string): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await using file = await open(path, 'wx', 0o600);
      await file.writeFile(
        JSON.stringify({ pid: process.pid, startTime: await processStartTime(process.pid) }),
      );
      return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
    } catch (caught) {
      if ((caught as NodeJS.ErrnoException).code !== 'EEXIST') throw caught;
    }
    const holder = await readHolder(path);
    if (holder && (await isAlive(holder))) {
      throw new SandboxError('failed_precondition', `${what} is in use by process ${holder.pid}`, {
        hint: 'Wait until it has finished, or end that process.',
      });
    }
    await rm(path, { force: true });
  }
  throw new SandboxError('unavailable', `${what} could not be locked`, { hint: 'Try again.' });
}

async function readHolder(path: string): Promise<{ pid: number; startTime: string } | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as { pid: number; startTime: string };
  } catch {
    return undefined;
  }
}
