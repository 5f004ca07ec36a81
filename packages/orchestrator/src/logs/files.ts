import { appendFile, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { checkSandboxId, type LogLine } from '@sandbox-backend/protocol';
import { unstamp } from './lines.ts';

/** A guest may print without end: at most two files of this size are kept of it. */
const MAX_FILE_BYTES = 128 * 1024;
/** As long as the control plane remembers a sandbox that has ended. */
const KEEP_MS = 86_400_000;
/** Of all sandboxes that have ended; the oldest go first. */
const KEEP_BYTES = 256 * 1024 * 1024;

export const logsFolder = (dataRoot: string) => join(dataRoot, 'logs');

const fileOf = (dataRoot: string, sandboxId: string) =>
  join(logsFolder(dataRoot), `${checkSandboxId(sandboxId)}.log`);
const olderOf = (file: string) => `${file}.1`;

/** Appends lines, each ended, and begins a new file when this one is full. */
export async function appendLog(dataRoot: string, sandboxId: string, lines: string): Promise<void> {
  const file = fileOf(dataRoot, sandboxId);
  await mkdir(logsFolder(dataRoot), { recursive: true, mode: 0o700 });
  // Stamps make more of one look at a console than a file takes: of that, the end.
  const bytes = Buffer.from(lines).subarray(-MAX_FILE_BYTES / 2);
  const { size } = await stat(file).catch(() => ({ size: 0 }));
  if (size + bytes.length > MAX_FILE_BYTES) await rename(file, olderOf(file));
  await appendFile(file, bytes, { mode: 0o600 });
}

/** The last lines that are kept, oldest first; none for a sandbox that nothing is known of. */
export async function readLog(dataRoot: string, sandboxId: string, limit: number): Promise<LogLine[]> {
  const file = fileOf(dataRoot, sandboxId);
  const [older, newer] = await Promise.all(
    [olderOf(file), file].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const lines = `${older}${newer}`.split('\n').map(unstamp);
  return lines.filter((line) => line !== undefined).slice(-limit);
}

/** An id may be given again, and to somebody else. */
export async function removeLog(dataRoot: string, sandboxId: string): Promise<void> {
  const file = fileOf(dataRoot, sandboxId);
  await Promise.all([file, olderOf(file)].map((path) => rm(path, { force: true })));
}

/** Removes the logs of sandboxes that have ended long ago, or of the oldest when there is too much of them. */
export async function sweepLogs(
  dataRoot: string,
  isRunning: (sandboxId: string) => boolean,
  now = Date.now(),
): Promise<void> {
  const folder = logsFolder(dataRoot);
  const names = await readdir(folder).catch(() => []);
  const files = await Promise.all(
    names
      .filter((name) => !isRunning(name.split('.', 1)[0] ?? ''))
      .map(async (name) => {
        const path = join(folder, name);
        const found = await stat(path).catch(() => undefined);
        return { path, size: found?.size ?? 0, at: found?.mtimeMs ?? 0 };
      }),
  );
  let kept = 0;
  for (const { path, size, at } of files.toSorted((a, b) => b.at - a.at)) {
    kept += size;
    if (now - at > KEEP_MS || kept > KEEP_BYTES) await rm(path, { force: true });
  }
}
