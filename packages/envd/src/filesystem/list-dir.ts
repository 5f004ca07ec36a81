import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import { fileError } from '../files/errno.ts';
import { resolvePath } from '../files/resolve-path.ts';
import type { Guest } from '../guest.ts';
import { readUnary } from '../http/connect.ts';
import { jsonResponse, readNumber, readText } from '../http/json.ts';
import { callerOf } from '../users/caller.ts';
import { type EntryInfo, entryOf } from './entry.ts';

/** The answer is held in memory as a whole. */
const MAX_ENTRIES = 100_000;
/** So many entries are looked at before anybody else gets a turn. */
const ENTRIES_PER_TURN = 500;

/** The entries of a folder and of the folders in it, `depth` levels deep, each folder before what is in it. */
export async function listDir(guest: Guest, request: Request): Promise<Response> {
  const message = await readUnary(request);
  const user = callerOf(guest, request);
  const path = resolvePath(guest, user, readText(message, 'path'));
  const depth = readNumber(message, 'depth') || 1;
  if (depth < 0) throw new SandboxError('invalid_argument', 'depth is negative');

  try {
    if (!statSync(path).isDirectory()) {
      throw new SandboxError('invalid_argument', `path is not a directory: ${path}`);
    }
  } catch (caught) {
    throw fileError(caught, path);
  }
  const entries: EntryInfo[] = [];
  for (const found of walk(path, depth)) {
    try {
      entries.push(entryOf(found, guest.users));
    } catch {
      continue; // it was removed meanwhile
    }
    if (entries.length > MAX_ENTRIES) {
      throw new SandboxError('resource_exhausted', `there are more than ${MAX_ENTRIES} entries in ${path}`);
    }
    if (entries.length % ENTRIES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return jsonResponse({ entries });
}

function* walk(folder: string, depth: number): Generator<string> {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return; // it was removed meanwhile
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    yield path;
    if (depth > 1 && entry.isDirectory()) yield* walk(path, depth - 1);
  }
}
