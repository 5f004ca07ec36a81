import assert from 'node:assert/strict';
import test from 'node:test';
import { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { createFakeNode } from '../testing/fake-node.ts';
import { openTestApi } from '../testing/test-api.ts';
import { createSnapshot } from './create.ts';
import { recoverSnapshots } from './recover.ts';

const create = { templateID: 'base' };

test('nobody can start from a snapshot before it is said whose it is', async () => {
  const node = createFakeNode();
  const snapshot = node.snapshot;
  await using api = await openTestApi({ node });
  const owners: unknown[] = [];
  node.snapshot = (call, sandboxId, request) => {
    owners.push(api.deps.snapshots.find(request.name)?.teamId);
    return snapshot(call, sandboxId, request);
  };
  const { json } = await api.send('POST', '/v2/sandboxes', create);
  const op = new Operation('test', { timeoutMs: 10_000 });
  const made = await createSnapshot(op, api.deps, api.team.id, json.sandboxID, { name: 'mine' });
  assert.deepEqual(owners, [api.team.id]);
  assert.match(made.directory, /\/templates\/mine\/builds\//);
  assert.equal(made.teamId, api.team.id);
});

test("a name is one verb's at a time, whoever asks", async () => {
  const node = createFakeNode({ snapshotMs: 20 });
  await using api = await openTestApi({ node });
  const mine = (await api.send('POST', '/v2/sandboxes', create)).json.sandboxID;
  const stranger = { 'X-API-KEY': api.strangersKey() };
  const theirs = (await api.send('POST', '/v2/sandboxes', create, stranger)).json.sandboxID;
  const answers = await Promise.all([
    api.send('POST', `/sandboxes/${mine}/snapshots`, { name: 'one' }),
    api.send('POST', `/sandboxes/${theirs}/snapshots`, { name: 'one' }, stranger),
  ]);
  assert.equal(answers.filter(({ status }) => status === 201).length, 1);
  const [made] = api.deps.snapshots.all();
  assert.equal((await node.findTemplate('one'))?.manifest.snapshotOf?.sandboxId, made?.sandboxId);

  assert.ok(made);
  const owner = made.teamId === api.team.id ? {} : stranger;
  const op = new Operation('test', { timeoutMs: 10_000 });
  const again = createSnapshot(op, api.deps, made.teamId, made.sandboxId, { name: 'one' });
  assert.equal((await api.send('DELETE', '/templates/one', undefined, owner)).status, 409);
  assert.equal((await again).name, 'one');
});

test("files under a name that is nobody's are not given to whoever takes the name", async () => {
  const node = createFakeNode();
  await using api = await openTestApi({ node });
  const { json } = await api.send('POST', '/v2/sandboxes', create);
  const op = new Operation('test', { timeoutMs: 10_000 });
  await createSnapshot(op, api.deps, api.team.id, json.sandboxID, { name: 'left' });
  api.deps.snapshots.remove('left');
  node.options.failSnapshot = new SandboxError('internal', 'it fails');
  await assert.rejects(createSnapshot(op, api.deps, api.team.id, json.sandboxID, { name: 'left' }));
  assert.equal(await node.findTemplate('left'), undefined);
});

test('an operation that ends meanwhile leaves no name', async () => {
  const node = createFakeNode({ snapshotMs: 60_000 });
  await using api = await openTestApi({ node });
  const { json } = await api.send('POST', '/v2/sandboxes', create);
  const client = new AbortController();
  const op = new Operation('test', { timeoutMs: 10_000, signal: client.signal });
  const making = createSnapshot(op, api.deps, api.team.id, json.sandboxID, { name: 'mine' });
  while (!api.deps.snapshots.find('mine')) await new Promise(setImmediate);
  client.abort();
  await assert.rejects(making, { code: 'canceled' });
  assert.deepEqual(api.deps.snapshots.all(), []);
});

test('after a restart only the names of finished snapshots are left', async () => {
  await using api = await openTestApi();
  const { json } = await api.send('POST', '/v2/sandboxes', create);
  await api.send('POST', `/sandboxes/${json.sandboxID}/snapshots`, { name: 'finished' });
  api.deps.snapshots.insert({
    name: 'begun',
    teamId: api.team.id,
    sandboxId: json.sandboxID,
    createdAt: 1,
  });
  await recoverSnapshots(api.deps);
  assert.deepEqual(
    api.deps.snapshots.all().map(({ name }) => name),
    ['finished'],
  );
});
