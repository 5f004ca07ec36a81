import assert from 'node:assert/strict';
import { mkdtempDisposable, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { migrate } from './migrations.ts';
import { openDatabase } from './open.ts';

test('a new database is private to its owner and opens again', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'api-db-'));
  const path = join(folder.path, 'api.db');
  openDatabase(path).close();
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  openDatabase(path).close();
});

test('a step that fails leaves the schema as it was, and later runs continue there', () => {
  using db = new DatabaseSync(':memory:');
  const good = 'CREATE TABLE a (x)';
  assert.throws(() => migrate(db, [good, 'CREATE TABLE b (x); CREATE TABLE a (x)']));
  assert.deepEqual({ ...db.prepare('PRAGMA user_version').get() }, { user_version: 1 });
  migrate(db, [good, 'CREATE TABLE b (x)']);
  assert.deepEqual({ ...db.prepare('PRAGMA user_version').get() }, { user_version: 2 });
});

test('a database of a newer server is refused, not damaged', () => {
  using db = new DatabaseSync(':memory:');
  db.exec('PRAGMA user_version = 99');
  assert.throws(() => migrate(db), { code: 'failed_precondition', hint: /newer version/ });
});
