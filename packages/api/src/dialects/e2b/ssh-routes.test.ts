import assert from 'node:assert/strict';
import test from 'node:test';
import { openTestApi } from '../../testing/test-api.ts';

const PUBLIC_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJE5rLkIjdt4mjyLvjtcIpB1Q0rHL0KV0YGzAZBvMK4M';
const key = { algorithm: 'ssh-ed25519', data: Buffer.from(PUBLIC_KEY.split(' ')[1]!, 'base64') };

test('a key is added, listed, let in, and removed', async () => {
  await using api = await openTestApi();
  const { json: sandbox } = await api.send('POST', '/sandboxes', { templateID: 'base' });
  assert.equal(api.sshAccess.hasKey(sandbox.sandboxID, key), false);

  const made = await api.send('POST', '/ssh/keys', { publicKey: `${PUBLIC_KEY} me@here\n` });
  assert.equal(made.status, 201);
  const { id, createdAt, ...rest } = made.json;
  assert.deepEqual(rest, {
    name: 'me@here',
    publicKey: PUBLIC_KEY,
    fingerprint: 'SHA256:15Fy3NROofYa1mK6p74Sm2E9rukSdQkeucl5uOHaUuY', // as ssh-keygen -l has it
  });
  assert.ok(Date.parse(createdAt) > 0);
  assert.equal((await api.send('POST', '/ssh/keys', { publicKey: PUBLIC_KEY })).status, 409);
  assert.deepEqual((await api.send('GET', '/ssh/keys')).json, [made.json]);

  assert.equal(api.sshAccess.hasKey(sandbox.sandboxID, key), true);
  assert.equal(api.sshAccess.hasKey('iother', key), false);
  assert.equal(api.sshAccess.hasKey(sandbox.sandboxID, { ...key, data: Buffer.from('x') }), false);

  const stranger = { 'X-API-KEY': api.strangersKey() };
  assert.deepEqual((await api.send('GET', '/ssh/keys', undefined, stranger)).json, []);
  assert.equal((await api.send('DELETE', `/ssh/keys/${id}`, undefined, stranger)).status, 404);
  // The same key, of somebody else, is theirs and opens theirs.
  assert.equal((await api.send('POST', '/ssh/keys', { publicKey: PUBLIC_KEY }, stranger)).status, 201);

  assert.equal((await api.send('DELETE', `/ssh/keys/${id}`)).status, 204);
  assert.equal((await api.send('DELETE', `/ssh/keys/${id}`)).status, 404);
  assert.equal(api.sshAccess.hasKey(sandbox.sandboxID, key), false);
});

test('a token is of one sandbox, for a while, and not kept as it is', async () => {
  let now = Date.now();
  await using api = await openTestApi({ now: () => now });
  const create = async () =>
    (await api.send('POST', '/sandboxes', { templateID: 'base', timeout: 100_000 })).json.sandboxID;
  const [own, other] = [await create(), await create()];
  const { status, json } = await api.send('POST', `/sandboxes/${own}/ssh-token`);
  assert.equal(status, 201);
  assert.equal(Date.parse(json.expiresAt) - now, 600_000);
  assert.equal(api.sshAccess.hasToken(own, json.token), true);
  assert.equal(api.sshAccess.hasToken(other, json.token), false);
  assert.equal(api.sshAccess.hasToken('iother', json.token), false);
  assert.equal(api.sshAccess.hasToken(own, `${json.token}x`), false);
  assert.ok(
    !JSON.stringify(api.db.prepare('SELECT hex(sha256) FROM ssh_tokens').all()).includes(json.token.slice(4)),
  );
  now += 599_999;
  assert.equal(api.sshAccess.hasToken(own, json.token), true);
  now += 1;
  assert.equal(api.sshAccess.hasToken(own, json.token), false);
  await api.send('POST', `/sandboxes/${own}/ssh-token`, { ttlSeconds: 1 });
  assert.equal(api.db.prepare('SELECT * FROM ssh_tokens').all().length, 1, 'what is over is forgotten');

  for (const ttlSeconds of [0, -1, 1.5, 86_401, 'x']) {
    assert.equal(
      (await api.send('POST', `/sandboxes/${own}/ssh-token`, { ttlSeconds })).status,
      400,
      String(ttlSeconds),
    );
  }
  const stranger = { 'X-API-KEY': api.strangersKey() };
  assert.equal((await api.send('POST', `/sandboxes/${own}/ssh-token`, {}, stranger)).status, 404);
});

test('an ended sandbox lets nobody in, and its token not into the next one of its name', async () => {
  await using api = await openTestApi();
  await api.send('POST', '/ssh/keys', { publicKey: PUBLIC_KEY });
  const { json: sandbox } = await api.send('POST', '/sandboxes', { templateID: 'base' });
  const id = sandbox.sandboxID;
  const { token } = (await api.send('POST', `/sandboxes/${id}/ssh-token`)).json;
  await api.send('DELETE', `/sandboxes/${id}`);
  assert.equal(api.sshAccess.hasKey(id, key), false);
  assert.equal(api.sshAccess.hasToken(id, token), false);
  api.db
    .prepare("UPDATE sandboxes SET state = 'running', path_token = 'that of another' WHERE id = ?")
    .run(id);
  assert.equal(api.sshAccess.hasKey(id, key), true);
  assert.equal(api.sshAccess.hasToken(id, token), false);
});

test('bad input is refused', async () => {
  await using api = await openTestApi({
    ssh: () => ({ host: '127.0.0.1', port: 2222, hostKey: PUBLIC_KEY }),
  });
  for (const body of [
    {},
    { publicKey: '' },
    { publicKey: 5 },
    { publicKey: 'ssh-rsa AAAA' },
    { publicKey: PUBLIC_KEY, name: 'x'.repeat(101) },
  ]) {
    assert.equal((await api.send('POST', '/ssh/keys', body)).status, 400, JSON.stringify(body));
  }
  assert.equal((await api.send('GET', '/ssh/keys', undefined, { 'X-API-KEY': '' })).status, 401);
  assert.deepEqual((await api.send('GET', '/ssh/door')).json, {
    host: '127.0.0.1',
    port: 2222,
    hostKey: PUBLIC_KEY,
  });
});
