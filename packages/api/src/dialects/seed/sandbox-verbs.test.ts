import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { status } from '@grpc/grpc-js';
import { type Orphan, SandboxError } from '@sandbox-backend/protocol';
import { createFakeNode } from '../../testing/fake-node.ts';
import { openSeed } from '../../testing/open-seed.ts';
import type { SandboxInfo } from './messages.ts';

type Seed = Awaited<ReturnType<typeof openSeed>>;

const create = async (seed: Seed, fields: object = {}): Promise<SandboxInfo> => {
  const message = { templateID: 'base', sandboxID: randomUUID(), maxInstanceLength: 3, ...fields };
  return (await seed.call<{ info: SandboxInfo }>('Sandbox', 'Create', message)).info;
};
const list = async (seed: Seed, fields: object = {}) =>
  (await seed.call<{ sandboxes: SandboxInfo[] }>('Sandbox', 'List', fields)).sandboxes;

const orphan = (sandboxId: string): Orphan => ({
  sandboxId,
  template: 'base',
  pid: 4711,
  slotIndex: 9,
  startedAt: '2026-01-01T00:00:00.500Z',
});

test('create answers with what clients read, and list says it back', async () => {
  await using seed = await openSeed();
  const id = randomUUID();
  const metadata = { 'a&b': 'ü "c"', constructor: 'x', __proto__x: '', empty: '' };
  const made = await create(seed, { sandboxID: id, metadata, enableDiffSnapshots: true });
  const row = seed.api.deps.rows.find(id)!;
  assert.equal(made.sandboxID, id);
  assert.equal(made.templateID, 'base');
  assert.equal(made.kernelVersion, '6.1');
  assert.equal(made.pid, process.pid);
  assert.equal(made.state, 'RUNNING');
  assert.equal(made.enableDiffSnapshots, true);
  assert.match(made.privateIP ?? '', new RegExp(`^${id}\\.[0-9a-f]{32}$`));
  assert.equal(made.privateIP, `${id}.${row.pathToken}`);
  assert.deepEqual(made.metadata, metadata);
  assert.equal(Number(made.startTime?.seconds), Math.floor(row.startedAt / 1000));
  assert.equal(row.endAt - row.startedAt, 3 * 3600_000);
  // Whatever its clients cannot send, its envd asks for.
  assert.match(row.accessToken ?? '', /^[0-9a-f]{64}$/);
  assert.equal(seed.node.started[0]?.accessToken, row.accessToken);
  assert.equal(seed.node.started[0]?.allowInternet, true);
  assert.deepEqual(await list(seed), [made]);
});

test('a request of no bytes is one', async () => {
  await using seed = await openSeed();
  await create(seed);
  const answer = await seed.send('Sandbox', '/Sandbox/List', Buffer.alloc(0));
  assert.ok(answer.length > 50);
});

test('the server chooses an id where the client chose none', async () => {
  await using seed = await openSeed();
  assert.match((await create(seed, { sandboxID: '' })).sandboxID, /^i[a-z0-9]{20}$/);
});

test('the time to live is in hours, and 0 is three of them', async () => {
  await using seed = await openSeed({ limits: { maxTimeoutSeconds: 10 * 3600 } });
  for (const [asked, hours] of [
    [0, 3],
    [1, 1],
    [10, 10],
  ] as const) {
    const { sandboxID } = await create(seed, { maxInstanceLength: asked });
    const row = seed.api.deps.rows.find(sandboxID)!;
    assert.equal(row.endAt - row.startedAt, hours * 3600_000);
  }
  for (const absurd of ['-1', '11', '9223372036854775807', '-9223372036854775808']) {
    await assert.rejects(create(seed, { maxInstanceLength: absurd }), {
      code: status.INVALID_ARGUMENT,
      details: `maxInstanceLength is ${absurd}, which is not a time to live in hours\nhint: Give a whole number from 1 to 10, or 0 for the default.`,
    });
  }
});

test('a sandbox ends when its time is over', async () => {
  let now = 1_000_000;
  await using seed = await openSeed({ now: () => now });
  const { sandboxID } = await create(seed, { maxInstanceLength: 1 });
  now += 3600_000 - 1;
  seed.api.deps.wakeReaper();
  assert.equal((await list(seed)).length, 1);
  now += 1;
  seed.api.deps.wakeReaper();
  while ((await list(seed)).length > 0) await new Promise(setImmediate);
  assert.ok(seed.node.stopped.includes(sandboxID));
});

for (const [what, fields, code, text] of [
  ['an id that climbs', { sandboxID: '../../etc' }, status.INVALID_ARGUMENT, /not a sandbox id/],
  ['an id for a shell', { sandboxID: 'a;reboot' }, status.INVALID_ARGUMENT, /not a sandbox id/],
  ['an id with a line end', { sandboxID: 'abc\n' }, status.INVALID_ARGUMENT, /not a sandbox id/],
  ['no template', { templateID: '' }, status.INVALID_ARGUMENT, /templateID is empty/],
  ['an unknown template', { templateID: 'nope' }, status.NOT_FOUND, /'nope' not found\nhint: /],
  ['a template that climbs', { templateID: '../base' }, status.NOT_FOUND, /not found/],
  ['a path of no snapshot', { templateID: '/etc/passwd' }, status.NOT_FOUND, /not found/],
  [
    'a program of the host',
    { hypervisorBinaryPath: '/bin/sh' },
    status.INVALID_ARGUMENT,
    /a template names its VMM\nhint: .*built with fake/,
  ],
] as const) {
  test(`create with ${what} is refused`, async () => {
    await using seed = await openSeed();
    await assert.rejects(create(seed, fields), (error: { code: number; details: string }) => {
      assert.equal(error.code, code);
      assert.match(error.details, text);
      return true;
    });
    assert.equal(seed.node.started.length, 0);
  });
}

test('the VMM that the template has may be named', async () => {
  await using seed = await openSeed();
  await create(seed, { hypervisorBinaryPath: '/usr/local/bin/fake' });
});

test('an id is given once, until its sandbox has ended', async () => {
  await using seed = await openSeed();
  const { sandboxID } = await create(seed);
  await assert.rejects(create(seed, { sandboxID }), { code: status.ALREADY_EXISTS });
  assert.equal((await list(seed)).length, 1);
  await seed.call('Sandbox', 'Delete', { sandboxID });
  assert.equal((await create(seed, { sandboxID })).sandboxID, sandboxID);
});

test('delete: gone from the list when it answers, and not found the second time', async () => {
  await using seed = await openSeed();
  const { sandboxID } = await create(seed);
  assert.deepEqual(await seed.call('Sandbox', 'Delete', { sandboxID }), {});
  assert.deepEqual(await list(seed), []);
  assert.deepEqual(seed.node.list(), []);
  await assert.rejects(seed.call('Sandbox', 'Delete', { sandboxID }), {
    code: status.NOT_FOUND,
    details: `Sandbox "${sandboxID}" doesn't exist or you don't have access to it`,
  });
});

test('search finds what is there, and answers empty for what is not', async () => {
  await using seed = await openSeed();
  const made = await create(seed);
  assert.deepEqual(await seed.call('Sandbox', 'Search', { sandboxID: made.sandboxID }), { sandbox: made });
  assert.deepEqual(await seed.call('Sandbox', 'Search', { sandboxID: randomUUID() }), {});
  await assert.rejects(seed.call('Sandbox', 'Search', { sandboxID: '' }), { code: status.INVALID_ARGUMENT });
});

test('running leaves out what stands still', async () => {
  await using seed = await openSeed();
  const [one, two] = [await create(seed), await create(seed)];
  seed.api.deps.rows.move(one.sandboxID, ['running'], 'pausing');
  const states = Object.fromEntries((await list(seed)).map(({ sandboxID, state }) => [sandboxID, state]));
  assert.deepEqual(states, { [one.sandboxID]: 'SNAPSHOTTING', [two.sandboxID]: 'RUNNING' });
  assert.deepEqual(
    (await list(seed, { running: true })).map(({ sandboxID }) => sandboxID),
    [two.sandboxID],
  );
});

test('deactivate says how much memory came back', async () => {
  await using seed = await openSeed();
  const { sandboxID } = await create(seed);
  assert.deepEqual(await seed.call('Sandbox', 'Deactive', { sandboxID }), {
    reclaimedBytes: String(40 * 2 ** 20),
    beforeBytes: String(100 * 2 ** 20),
    afterBytes: String(60 * 2 ** 20),
  });
  await assert.rejects(seed.call('Sandbox', 'Deactive', { sandboxID: randomUUID() }), {
    code: status.NOT_FOUND,
  });
});

test('a snapshot starts by its name and by the path of its answer', async () => {
  await using seed = await openSeed();
  const { sandboxID } = await create(seed);
  const { path, name } = await seed.call<{ path: string; name: string }>('Sandbox', 'Snapshot', {
    sandboxID,
  });
  assert.match(name, /^snapshot-[a-z0-9]{20}$/);
  assert.match(path, new RegExp(`/templates/${name}/builds/`));
  assert.equal((await create(seed, { templateID: path })).templateID, name);
  assert.equal((await create(seed, { templateID: `${path}/` })).templateID, name);
  assert.equal((await create(seed, { templateID: name })).templateID, name);
  const older = path.replace(/[^/]+$/, randomUUID());
  await assert.rejects(create(seed, { templateID: older }), { code: status.NOT_FOUND, details: /made anew/ });
  assert.equal((await list(seed)).length, 4, 'the sandbox that was saved runs on');
});

test('with delete the sandbox ends when the snapshot is made, and lives on when it is not', async () => {
  await using seed = await openSeed();
  const { sandboxID } = await create(seed);
  seed.node.options.failSnapshot = new SandboxError('no_space', 'The disk is full', { hint: 'Free some.' });
  await assert.rejects(seed.call('Sandbox', 'Snapshot', { sandboxID, delete: true }), {
    code: status.RESOURCE_EXHAUSTED,
    details: 'The disk is full\nhint: Free some.',
  });
  assert.equal((await list(seed)).length, 1);
  delete seed.node.options.failSnapshot;
  const answer = await seed.call('Sandbox', 'Snapshot', { sandboxID, delete: true, name: 'mine' });
  assert.equal(answer.name, 'mine');
  assert.deepEqual(await list(seed), []);
  assert.ok(await seed.node.findTemplate('mine'));
});

test('orphans are listed apart, and purging never touches a sandbox', async () => {
  const node = createFakeNode({ orphans: [orphan('i1'), orphan('m2'), orphan('i3')] });
  await using seed = await openSeed({ node });
  const { sandboxID } = await create(seed);
  const orphans = await list(seed, { orphan: true });
  assert.deepEqual(
    orphans.map(({ sandboxID: id, state, pid, networkIdx }) => [id, state, pid, Number(networkIdx)]),
    [
      ['i1', 'ORPHAN', 4711, 9],
      ['m2', 'ORPHAN', 4711, 9],
      ['i3', 'ORPHAN', 4711, 9],
    ],
  );
  assert.equal((await list(seed)).length, 1);
  const purge = (fields: object) => seed.call('Sandbox', 'Purge', fields);
  await assert.rejects(purge({ SandboxIDs: ['i1', sandboxID] }), {
    code: status.NOT_FOUND,
    details: new RegExp(`no orphan ${sandboxID}; nothing was purged\nhint: .*delete it instead`),
  });
  assert.equal((await list(seed, { orphan: true })).length, 3);
  await assert.rejects(purge({ SandboxIDs: ['../x'] }), { code: status.INVALID_ARGUMENT });
  await assert.rejects(purge({}), { code: status.INVALID_ARGUMENT, details: /Which orphan/ });
  assert.deepEqual(await purge({ SandboxIDs: ['m2', 'm2'] }), { success: true, msg: 'purged m2' });
  assert.deepEqual(await purge({ purgeAll: true }), { success: true, msg: 'purged i1, i3' });
  assert.deepEqual(await purge({ purgeAll: true }), { success: true, msg: 'there was no orphan' });
  assert.equal((await list(seed)).length, 1);
  assert.deepEqual(node.stopped, []);
});

test('the verbs of the host', async () => {
  await using seed = await openSeed();
  assert.deepEqual(await seed.call('HostManage', 'RecreateCgroup'), {});
  assert.deepEqual(await seed.call('HostManage', 'CleanNetworkEnv', { NetworkIDs: [3, 0, 3] }), {});
  assert.deepEqual(seed.node.hostCalls, ['recreateCgroup', 'cleanNetwork 3', 'cleanNetwork 0']);
  for (const NetworkIDs of [['-1'], ['9223372036854775807']]) {
    await assert.rejects(seed.call('HostManage', 'CleanNetworkEnv', { NetworkIDs }), {
      code: status.INVALID_ARGUMENT,
    });
  }
  assert.equal(seed.node.hostCalls.length, 3);
});

test('another team has its own sandboxes, whose ids and snapshots are not to be had here', async () => {
  await using seed = await openSeed();
  const key = seed.api.strangersKey();
  const made = await seed.api.send('POST', '/v2/sandboxes', { templateID: 'base' }, { 'X-API-KEY': key });
  const sandboxID = made.json.sandboxID;
  assert.deepEqual(await list(seed), []);
  assert.deepEqual(await seed.call('Sandbox', 'Search', { sandboxID }), {});
  for (const verb of ['Delete', 'Deactive', 'Snapshot']) {
    await assert.rejects(seed.call('Sandbox', verb, { sandboxID }), { code: status.NOT_FOUND }, verb);
  }
  await assert.rejects(create(seed, { sandboxID }), { code: status.ALREADY_EXISTS });
  await seed.api.send('POST', `/sandboxes/${sandboxID}/snapshots`, { name: 'theirs' }, { 'X-API-KEY': key });
  await assert.rejects(create(seed, { templateID: 'theirs' }), { code: status.NOT_FOUND });
});
