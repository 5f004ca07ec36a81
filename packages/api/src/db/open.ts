import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { migrate } from './migrations.ts';

/**
 * Opens the control plane's database and brings its schema up to date; the file is readable by its
 * owner only, since it holds the tokens of sandboxes.
 *
 * WAL with synchronous=NORMAL: a commit survives the death of this process, but the last ones may be
 * undone by a power failure, which ends every sandbox they could speak of. What must survive that
 * too (a key that someone was given) calls {@link makeDurable}.
 */
export function openDatabase(path: string): DatabaseSync {
  if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
  const db = new DatabaseSync(path, { timeout: 5000 });
  try {
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;');
    migrate(db);
    return db;
  } catch (caught) {
    db.close();
    throw caught;
  }
}

/** Everything committed so far is on the disk when this returns. */
export function makeDurable(db: DatabaseSync): void {
  db.exec('PRAGMA wal_checkpoint(FULL)');
}
