import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { DatabaseSync } from 'node:sqlite';
import { writeFileAtomic } from '@sandbox-backend/kit';
import { keyRows } from '../db/keys.ts';
import { makeDurable } from '../db/open.ts';
import { createKey, hashKey, isApiKey, registerKey } from './keys.ts';

/**
 * Makes the team `default` and a key for it, and keeps the key in `file` (mode 0600), once: later
 * starts find it there. A well-formed key that someone put into the file is taken as it is; a lost
 * file gets a new key, since the old one cannot be read back.
 */
export async function ensureDefaultKey(
  db: DatabaseSync,
  file: string,
  now = Date.now,
): Promise<{ key: string; teamId: string }> {
  const keys = keyRows(db);
  if (!keys.findTeam('default')) keys.insertTeam({ id: randomUUID(), name: 'default' }, now());
  const team = keys.findTeam('default')!;

  const kept = await readKey(file);
  const known = kept && keys.findByHash(hashKey(kept));
  if (kept && known && !known.revoked) return { key: kept, teamId: team.id };

  const deps = { keys, now };
  const key = kept && !known ? kept : createKey(deps, team.id, 'default').key;
  if (key === kept) registerKey(deps, team.id, 'default', key);
  makeDurable(db);
  await writeFileAtomic(file, `${key}\n`, { mode: 0o600, sync: true });
  return { key, teamId: team.id };
}

async function readKey(file: string): Promise<string | undefined> {
  try {
    const text = (await readFile(file, 'utf8')).trim();
    return isApiKey(text) ? text : undefined;
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw caught;
  }
}
