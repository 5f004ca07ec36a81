import assert from 'node:assert/strict';
import test from 'node:test';
import { SandboxError } from '@sandbox-backend/protocol';
import { createFakeNode } from '../../testing/fake-node.ts';
import { openTestApi } from '../../testing/test-api.ts';

type Api = Awaited<ReturnType<typeof openTestApi>>;

const newSandbox = async (api: Api, headers: Record<string, string> = {}): Promise<string> =>
  (await api.send('POST', '/v2/sandboxes', { templateID: 'base' }, headers)).json.sandboxID;
const names = async (api: Api, query = '', headers: Record<string, string> = {}): Promise<string[]> =>
  (await api.send('GET', `/snapshots${query}`, undefined, headers)).json.map(
    ({ snapshotID }: { snapshotID: string }) => snapshotID,
  );

test('a snapshot is a name to start from, until it is deleted like a template', async () => {
  await using api = await openTestApi({ now: () => 1_000_000 });
  const id = await newSandbox(api);
  const made = await api.send('POST', `/sandboxes/${id}/snapshots`, { name: 'mine' });
  assert.equal(made.status, 201);
  assert.deepEqual(made.json, {
    snapshotID: 'mine:default',
    names: ['mine:default'],
    sandboxID: id,
    createdAt: '1970-01-01T00:16:40.000Z',
  });
  assert.match(made.headers.get('Server-Timing') ?? '', /snapshot;dur=/);
  assert.equal((await api.send('GET', `/sandboxes/${id}`)).json.state, 'running');

  const copy = await api.send('POST', '/v2/sandboxes', { templateID: 'mine:default' });
  assert.equal(copy.status, 201);
  assert.equal(copy.json.templateID, 'mine');
  assert.deepEqual(
    (await api.send('GET', '/templates')).json.map(({ templateID }: { templateID: string }) => templateID),
    ['base'],
    'it is no template',
  );

  const inUse = await api.send('DELETE', '/templates/mine:default');
  assert.equal(inUse.status, 409);
  assert.deepEqual(await names(api), ['mine:default'], 'it is still there');
  await api.send('DELETE', `/sandboxes/${copy.json.sandboxID}`);
  assert.equal((await api.send('DELETE', '/templates/mine:default')).status, 204);
  assert.deepEqual(await names(api), []);
  assert.equal((await api.send('DELETE', '/templates/mine:default')).status, 404);
  assert.equal((await api.send('POST', '/v2/sandboxes', { templateID: 'mine' })).status, 404);
});

test('without a name it gets one of its own, with or without a body', async () => {
  await using api = await openTestApi();
  const id = await newSandbox(api);
  for (const body of [undefined, {}, { name: null }]) {
    const { status, json } = await api.send('POST', `/sandboxes/${id}/snapshots`, body);
    assert.equal(status, 201);
    assert.match(json.snapshotID, /^snapshot-[a-z0-9]{20}:default$/);
  }
  assert.equal(new Set(await names(api)).size, 3);
});

test('a snapshot of a name and owner is replaced by the next', async () => {
  let now = 1_000_000;
  await using api = await openTestApi({ now: () => now++ });
  const [one, two] = [await newSandbox(api), await newSandbox(api)];
  for (const id of [one, two]) {
    assert.equal(
      (await api.send('POST', `/sandboxes/${id}/snapshots`, { name: 'mine:default' })).status,
      201,
    );
  }
  const { json } = await api.send('GET', '/snapshots');
  assert.equal(json.length, 1);
  assert.equal(json[0].sandboxID, two);
});

test('pages are complete while snapshots come', async () => {
  let now = 4_000_000;
  // Two at a time in the same millisecond.
  await using api = await openTestApi({ now: () => Math.floor(now++ / 8) });
  const id = await newSandbox(api);
  const add = async (): Promise<string> =>
    (await api.send('POST', `/sandboxes/${id}/snapshots`)).json.snapshotID;
  const wanted = new Set<string>();
  for (let made = 0; made < 7; made++) wanted.add(await add());
  const seen: string[] = [];
  let token = '';
  do {
    const { json, headers } = await api.send('GET', `/snapshots?limit=3&nextToken=${token}`);
    seen.push(...json.map(({ snapshotID }: { snapshotID: string }) => snapshotID));
    token = headers.get('X-Next-Token') ?? '';
    await add();
  } while (token && seen.length < 100);
  assert.equal(new Set(seen).size, seen.length, 'none twice');
  for (const name of wanted) assert.ok(seen.includes(name), 'none left out');
});

test('the list is filtered by sandbox and by name', async () => {
  await using api = await openTestApi();
  const [one, two] = [await newSandbox(api), await newSandbox(api)];
  await api.send('POST', `/sandboxes/${one}/snapshots`, { name: 'first' });
  await api.send('POST', `/sandboxes/${two}/snapshots`, { name: 'second' });
  assert.deepEqual(await names(api, `?sandboxID=${one}`), ['first:default']);
  assert.deepEqual(await names(api, '?name=second'), ['second:default']);
  assert.deepEqual(await names(api, '?name=second:default'), ['second:default']);
  assert.deepEqual(await names(api, '?name=third'), []);
});

test('another team sees, starts, replaces and deletes none of them', async () => {
  await using api = await openTestApi();
  const id = await newSandbox(api);
  await api.send('POST', `/sandboxes/${id}/snapshots`, { name: 'mine' });
  const stranger = { 'X-API-KEY': api.strangersKey() };
  const own = await newSandbox(api, stranger);
  assert.deepEqual(await names(api, '', stranger), []);
  assert.deepEqual(await names(api, '?name=mine', stranger), []);
  for (const [method, path, body, status] of [
    ['POST', `/sandboxes/${id}/snapshots`, {}, 404],
    ['POST', '/v2/sandboxes', { templateID: 'mine' }, 404],
    ['GET', '/templates/mine', undefined, 404],
    ['GET', '/templates/aliases/mine', undefined, 404],
    ['DELETE', '/templates/mine', undefined, 404],
    ['POST', `/sandboxes/${own}/snapshots`, { name: 'mine' }, 409],
  ] as const) {
    const answer = await api.send(method, path, body, stranger);
    assert.equal(answer.status, status, `${method} ${path} ${JSON.stringify(answer.json)}`);
  }
  assert.equal(api.deps.snapshots.find('mine')?.sandboxId, id);
});

for (const [what, id, body, status, text] of [
  ['the name of a template', undefined, { name: 'base' }, 409, /^The name base is taken\n/],
  ['a name that climbs', undefined, { name: '../../etc' }, 400, /not a template name/],
  ['a tag of its own', undefined, { name: 'mine:v2' }, 400, /not a template name/],
  ['a name that is none', undefined, { name: 7 }, 400, /name: /],
  ['an unknown sandbox', 'i0', {}, 404, /^Sandbox "i0" doesn't exist/],
  ['an id that climbs', '..%2fx', {}, 400, /not a sandbox id/],
] as const) {
  test(`a snapshot with ${what} is refused, and leaves no name`, async () => {
    await using api = await openTestApi();
    const sandbox = id ?? (await newSandbox(api));
    const answer = await api.send('POST', `/sandboxes/${sandbox}/snapshots`, body);
    assert.equal(answer.status, status, JSON.stringify(answer.json));
    assert.match(answer.json.message, text);
    assert.deepEqual(api.deps.snapshots.all(), []);
  });
}

test('one that fails leaves no name, or the one that there was', async () => {
  const node = createFakeNode();
  await using api = await openTestApi({ node });
  const id = await newSandbox(api);
  const make = () => api.send('POST', `/sandboxes/${id}/snapshots`, { name: 'mine' });
  node.options.failSnapshot = new SandboxError('no_space', 'The disk is full');
  assert.equal((await make()).status, 507);
  assert.deepEqual(await names(api), []);
  delete node.options.failSnapshot;
  assert.equal((await make()).status, 201);
  node.options.failSnapshot = new SandboxError('no_space', 'The disk is full');
  assert.equal((await make()).status, 507);
  assert.deepEqual(await names(api), ['mine:default']);
  assert.equal((await api.send('POST', '/v2/sandboxes', { templateID: 'mine' })).status, 201);
});

test('wrong pages and limits are refused', async () => {
  await using api = await openTestApi();
  for (const query of ['?limit=0', '?limit=101', '?limit=x', '?nextToken=x', '?sandboxID=..%2f']) {
    assert.equal((await api.send('GET', `/snapshots${query}`)).status, 400, query);
  }
});
