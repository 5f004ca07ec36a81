import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { keyRows } from '../db/keys.ts';
import { openDatabase } from '../db/open.ts';
import { authenticate } from './authenticate.ts';
import { ensureDefaultKey } from './default-key.ts';
import { createKey, isApiKey, listKeys, newApiKey, revokeKey } from './keys.ts';

async function withDatabase() {
  const held = new AsyncDisposableStack();
  const folder = held.use(await mkdtempDisposable(join(tmpdir(), 'api-auth-')));
  const db = openDatabase(':memory:');
  held.defer(() => db.close());
  const file = join(folder.path, 'key');
  return { db, file, keys: keyRows(db), [Symbol.asyncDispose]: () => held.disposeAsync() };
}

test('the default key is made once, kept in a private file, and stored as a hash only', async () => {
  await using at = await withDatabase();
  const { key } = await ensureDefaultKey(at.db, at.file);
  assert.ok(isApiKey(key));
  assert.equal((await ensureDefaultKey(at.db, at.file)).key, key);
  assert.equal((await readFile(at.file, 'utf8')).trim(), key);
  assert.equal((await stat(at.file)).mode & 0o777, 0o600);
  assert.equal(authenticate(at.keys, key).name, 'default');
  const stored = JSON.stringify(at.db.prepare('SELECT * FROM api_keys').all());
  assert.ok(!stored.includes(key));
});

test('a key put into the file is taken, a lost file gets a new one', async () => {
  await using at = await withDatabase();
  const own = newApiKey();
  await writeFile(at.file, own);
  assert.equal((await ensureDefaultKey(at.db, at.file)).key, own);
  assert.equal((await stat(at.file)).mode & 0o777, 0o600);
  await rm(at.file);
  const { key: next } = await ensureDefaultKey(at.db, at.file);
  assert.notEqual(next, own);
  assert.equal(authenticate(at.keys, next).id, authenticate(at.keys, own).id);
});

test('a missing, malformed, unknown or revoked key is refused', async () => {
  await using at = await withDatabase();
  await ensureDefaultKey(at.db, at.file);
  const team = at.keys.findTeam('default')!;
  const deps = { keys: at.keys, now: () => 5 };
  const { id, key } = createKey(deps, team.id, 'ci');
  assert.deepEqual(authenticate(at.keys, key), team);
  assert.equal(revokeKey(deps, 'another team', id), false);
  assert.equal(revokeKey(deps, team.id, id), true);
  assert.equal(revokeKey(deps, team.id, id), false);
  assert.equal(listKeys(deps, team.id).find((row) => row.id === id)?.revokedAt, 5);
  for (const bad of [undefined, '', 'e2b_', newApiKey(), key]) {
    assert.throws(() => authenticate(at.keys, bad), { code: 'unauthenticated' }, String(bad));
  }
});

test('a revoked key in the file is replaced', async () => {
  await using at = await withDatabase();
  const { key } = await ensureDefaultKey(at.db, at.file);
  const team = at.keys.findTeam('default')!;
  const deps = { keys: at.keys, now: Date.now };
  revokeKey(deps, team.id, listKeys(deps, team.id)[0]!.id);
  assert.notEqual((await ensureDefaultKey(at.db, at.file)).key, key);
});
