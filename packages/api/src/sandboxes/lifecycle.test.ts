import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { openDatabase } from '../db/open.ts';
import { createFakeNode } from '../testing/fake-node.ts';
import { openTestApi } from '../testing/test-api.ts';

const create = { templateID: 'base', timeout: 300 };

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let round = 0; round < 500; round++) {
    if (await holds()) return;
    await sleep(10);
  }
  assert.fail(`never: ${what}`);
}

const states = (db: Awaited<ReturnType<typeof openTestApi>>['db']) =>
  db
    .prepare('SELECT state, end_reason FROM sandboxes')
    .all()
    .map((row) => ({ ...row }));

test('a start that fails is told as it is and leaves nothing that clients see', async () => {
  const node = createFakeNode({
    failStart: new SandboxError('unavailable', 'the VMM ended', {
      hint: 'Look into its log.',
      log: 'secret paths',
    }),
  });
  await using api = await openTestApi({ node });
  const { status, json, headers } = await api.send('POST', '/sandboxes', create);
  assert.equal(status, 503);
  assert.match(headers.get('Server-Timing') ?? '', /template;dur=/);
  assert.deepEqual(json, {
    code: 503,
    message: 'the VMM ended\nLook into its log.',
    error_code: 'unavailable',
  });
  assert.deepEqual((await api.send('GET', '/v2/sandboxes')).json, []);
  assert.deepEqual(states(api.db), [{ state: 'failed', end_reason: 'the VMM ended' }]);
});

test('an error that is not ours is not shown to clients', async () => {
  const node = createFakeNode();
  node.listTemplates = () => Promise.reject(new Error('/secret/path'));
  await using api = await openTestApi({ node });
  const { status, json } = await api.send('GET', '/templates');
  assert.equal(status, 500);
  assert.doesNotMatch(JSON.stringify(json), /secret|at /);
});

test('a client that goes away during a create takes the sandbox with it', async () => {
  const node = createFakeNode({ startMs: 60_000 });
  await using api = await openTestApi({ node });
  const url = await api.serve();
  const client = new AbortController();
  const request = fetch(`${url}/sandboxes`, {
    method: 'POST',
    headers: { 'X-API-KEY': api.key, 'Content-Type': 'application/json' },
    body: JSON.stringify(create),
    signal: client.signal,
  });
  await until('started', () => node.started.length === 1);
  client.abort();
  await assert.rejects(request);
  await until('failed', () => states(api.db)[0]?.state === 'failed');
  assert.equal(node.list().length, 0);
});

test('a machine that starts although its client is gone is stopped', async () => {
  const node = createFakeNode();
  const start = node.start;
  const client = new AbortController();
  node.start = async (call, request) => {
    const machine = await start(call, request);
    client.abort();
    return machine;
  };
  await using api = await openTestApi({ node });
  await api.app.request('/sandboxes', {
    method: 'POST',
    headers: { 'X-API-KEY': api.key, 'Content-Type': 'application/json' },
    body: JSON.stringify(create),
    signal: client.signal,
  });
  assert.equal(node.list().length, 0);
  assert.deepEqual(states(api.db), [{ state: 'gone', end_reason: 'canceled' }]);
});

for (const heeds of [true, false]) {
  test(`a kill during a create wins, when the node ${heeds ? 'heeds' : 'misses'} the cancellation`, async () => {
    const node = createFakeNode({ startMs: 60_000 });
    const release = Promise.withResolvers<void>();
    if (!heeds) {
      const start = node.start;
      node.start = async (_call, request) => {
        await release.promise;
        node.options.startMs = 0;
        return start(new Operation('deaf', { timeoutMs: 10_000 }), request);
      };
    }
    await using api = await openTestApi({ node });
    const creating = api.send('POST', '/sandboxes', create);
    await until('recorded', () => states(api.db).length === 1);
    const { id } = api.db.prepare('SELECT id FROM sandboxes').get() as { id: string };
    assert.equal((await api.send('GET', `/sandboxes/${id}`)).status, 404, 'invisible while it starts');
    const killing = api.send('DELETE', `/sandboxes/${id}`);
    await sleep(0);
    release.resolve();
    assert.equal((await killing).status, 204);
    assert.equal((await creating).status, 404);
    assert.equal(node.list().length, 0);
    assert.deepEqual(states(api.db), [{ state: 'gone', end_reason: 'killed' }]);
  });
}

test('a kill cuts the connections before the machine is gone, and is 404 the second time', async () => {
  await using api = await openTestApi();
  const { json } = await api.send('POST', '/sandboxes', create);
  const path = `/sandboxes/${json.sandboxID}`;
  const stop = api.node.stop;
  api.node.stop = async (call, id) => {
    assert.deepEqual(api.dropped, [id]);
    assert.equal(api.resolveSandbox(id), undefined);
    return stop(call, id);
  };
  assert.equal((await api.send('DELETE', path)).status, 204);
  const again = await api.send('DELETE', path);
  assert.equal(again.status, 404);
  assert.equal(
    again.json.message,
    `Sandbox "${json.sandboxID}" doesn't exist or you don't have access to it`,
  );
});

test('a kill that the node fails can be tried again', async () => {
  await using api = await openTestApi();
  const { json } = await api.send('POST', '/sandboxes', create);
  api.node.options.failStop = new SandboxError('unavailable', 'busy');
  assert.equal((await api.send('DELETE', `/sandboxes/${json.sandboxID}`)).status, 503);
  delete api.node.options.failStop;
  assert.equal((await api.send('DELETE', `/sandboxes/${json.sandboxID}`)).status, 204);
  assert.equal(api.node.list().length, 0);
});

test('a kill that the node fails is tried again without being asked', async () => {
  await using api = await openTestApi();
  const { json } = await api.send('POST', '/sandboxes', create);
  api.node.options.failStop = new SandboxError('unavailable', 'busy');
  assert.equal((await api.send('DELETE', `/sandboxes/${json.sandboxID}`)).status, 503);
  delete api.node.options.failStop;
  await until('stopped', () => api.node.list().length === 0);
  await until('gone', () => states(api.db)[0]?.state === 'gone');
});

test('two kills at once both come to the end', async () => {
  await using api = await openTestApi();
  const { json } = await api.send('POST', '/sandboxes', create);
  const kills = await Promise.all([1, 2].map(() => api.send('DELETE', `/sandboxes/${json.sandboxID}`)));
  assert.deepEqual(
    kills.map(({ status }) => status),
    [204, 204],
  );
  assert.deepEqual(api.node.stopped, [json.sandboxID]);
});

test('a sandbox that ends by itself is gone', async () => {
  await using api = await openTestApi();
  const { json } = await api.send('POST', '/sandboxes', create);
  assert.equal(api.resolveSandbox(json.sandboxID)?.state, 'running');
  api.node.exit(json.sandboxID);
  assert.equal(api.resolveSandbox(json.sandboxID), undefined);
  assert.deepEqual(api.dropped, [json.sandboxID]);
  assert.equal((await api.send('GET', `/sandboxes/${json.sandboxID}`)).status, 404);
});

test('a sandbox is ended when its time is over, also when that is moved', async () => {
  await using api = await openTestApi();
  const one = (await api.send('POST', '/sandboxes', create)).json.sandboxID;
  const two = (await api.send('POST', '/sandboxes', { ...create, timeout: 1 })).json.sandboxID;
  await until('the second ended', () => !api.node.find(two));
  assert.ok(api.node.find(one));
  assert.equal((await api.send('POST', `/sandboxes/${one}/timeout`, { timeout: 0 })).status, 204);
  await until('the first ended', () => !api.node.find(one));
  assert.equal((await api.send('GET', `/sandboxes/${one}`)).status, 404);
});

test('after a restart sandboxes live on with their deadlines, and what does not agree is cleared up', async () => {
  using db = openDatabase(':memory:');
  const node = createFakeNode();
  let ids: string[];
  {
    await using api = await openTestApi({ db, node });
    ids = await Promise.all(
      [300, 1, 300].map(
        async (timeout) => (await api.send('POST', '/sandboxes', { ...create, timeout })).json.sandboxID,
      ),
    );
  }
  const [kept, short, lost] = ids as [string, string, string];
  const quiet = new Operation('prepare', { timeoutMs: 10_000 });
  await node.stop(quiet, lost);
  await node.start(quiet, { sandboxId: 'stray', template: 'base', env: {}, allowInternet: true });

  await using api = await openTestApi({ db, node });
  assert.equal((await api.send('GET', `/sandboxes/${kept}`)).status, 200);
  assert.equal((await api.send('GET', `/sandboxes/${lost}`)).status, 404);
  assert.equal(node.find('stray'), undefined);
  await until('the short one ended', () => !node.find(short));
  assert.ok(node.find(kept));
});

test('the configured number of sandboxes is not passed, not even by creates at once', async () => {
  await using api = await openTestApi({ limits: { maxSandboxes: 2 }, node: createFakeNode({ startMs: 5 }) });
  const answers = await Promise.all([1, 2, 3, 4].map(() => api.send('POST', '/sandboxes', create)));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 429, 429]);
  const created = answers.find(({ status }) => status === 201)!;
  await api.send('DELETE', `/sandboxes/${created.json.sandboxID}`);
  assert.equal((await api.send('POST', '/sandboxes', create)).status, 201);
});

test('closing the API ends creates under way', async () => {
  const node = createFakeNode({ startMs: 60_000 });
  let creating: Promise<{ status: number }>;
  {
    await using api = await openTestApi({ node });
    creating = api.send('POST', '/sandboxes', create);
    await until('started', () => node.started.length === 1);
  }
  assert.equal((await creating).status, 404);
  assert.equal(node.list().length, 0);
});
