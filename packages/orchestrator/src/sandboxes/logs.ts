import { appendFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operation, writeFileAtomic } from '@sandbox-backend/kit';
import { machineDirectory } from '@sandbox-backend/machines';
import type { LogLine } from '@sandbox-backend/protocol';
import type { Resident } from '../resident.ts';

/** A guest may print without end: what is kept of it is bounded. */
const KEPT_BYTES = 256 * 1024;

/** The guest's console, kernel and envd, oldest line first. The VMM keeps what came since the last call. */
export async function sandboxLogs(
  op: Operation,
  dataRoot: string,
  resident: Resident,
  limit: number,
): Promise<LogLine[]> {
  const file = join(machineDirectory(dataRoot, resident.held.record.machineId), 'console.log');
  const news = await resident.held.machine.readConsole(op);
  if (news !== '') await appendFile(file, stamp(news));
  const { size } = await stat(file).catch(() => ({ size: 0 }));
  if (size === 0) return [];
  const text = await readFile(file, 'utf8');
  if (size > KEPT_BYTES) await writeFileAtomic(file, text.slice(-KEPT_BYTES / 2).replace(/^[^\n]*\n/, ''));
  return text.split('\n').filter(Boolean).slice(-limit).map(unstamp);
}

const stamp = (text: string) => {
  const now = new Date().toISOString();
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => `${now} ${printable(line)}\n`)
    .join('');
};

function unstamp(line: string): LogLine {
  const cut = line.indexOf(' ');
  return { timestamp: line.slice(0, cut), level: 'info', message: line.slice(cut + 1) };
}

/** Terminal control sequences of a guest never reach a terminal of its owner. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
const printable = (line: string) => line.replace(/\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]/g, '');
