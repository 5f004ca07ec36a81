import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrometheus } from '@sandbox-backend/kit';
import { createFakeNode } from '../../testing/fake-node.ts';
import { openTestApi } from '../../testing/test-api.ts';

async function scrape(api: Awaited<ReturnType<typeof openTestApi>>, path: string, headers = {}) {
  const response = await api.app.request(path, { headers: { 'X-API-KEY': api.key, ...headers } });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

const create = async (api: Awaited<ReturnType<typeof openTestApi>>): Promise<string> =>
  (await api.send('POST', '/sandboxes', { templateID: 'base', timeout: 300 })).json.sandboxID;

test('sandboxes of the team are scraped through the server, and no others', async () => {
  await using api = await openTestApi();
  const ids = [await create(api), await create(api)];
  const { status, type, text } = await scrape(api, '/metrics/sandboxes');
  assert.equal(status, 200);
  assert.equal(type, 'text/plain; version=0.0.4; charset=utf-8');
  const families = parsePrometheus(text);
  const up = families.get('sandbox_backend_sandbox_up')!;
  assert.deepEqual(
    up.samples.map(({ labels, value }) => ({ ...labels, value })),
    ids.map((id) => ({ sandbox_id: id, template: 'base', value: 1 })),
  );
  assert.equal(families.get('sandbox_backend_sandbox_memory_used_bytes')?.samples.length, 2);

  const one = parsePrometheus((await scrape(api, `/metrics/sandboxes/${ids[1]}`)).text);
  assert.deepEqual(
    one.get('sandbox_backend_sandbox_up')?.samples.map(({ labels }) => labels.sandbox_id),
    [ids[1]],
  );

  const stranger = { 'X-API-KEY': api.strangersKey() };
  const theirs = parsePrometheus((await scrape(api, '/metrics/sandboxes', stranger)).text);
  assert.equal(theirs.get('sandbox_backend_sandbox_up')?.samples.length, 0);
  assert.equal((await scrape(api, `/metrics/sandboxes/${ids[0]}`, stranger)).status, 404);
  assert.equal((await scrape(api, '/metrics', stranger)).status, 403);
});

test('a guest that never answers is down, and holds up the others only for a while', async () => {
  const node = createFakeNode();
  const { metrics } = node;
  let deaf: string | undefined;
  node.metrics = (call, id) =>
    id === deaf
      ? new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
      : metrics(call, id);
  await using api = await openTestApi({ node });
  const [heard] = [await create(api)];
  deaf = await create(api);
  const { text } = await scrape(api, '/metrics/sandboxes');
  const up = parsePrometheus(text).get('sandbox_backend_sandbox_up')!.samples;
  assert.deepEqual(Object.fromEntries(up.map(({ labels, value }) => [labels.sandbox_id, value])), {
    [heard!]: 1,
    [deaf]: 0,
  });
});

test('service discovery names one target for each sandbox, which leads back here', async () => {
  await using api = await openTestApi();
  const id = await create(api);
  const url = await api.serve();
  const response = await fetch(`${url}/metrics/targets`, { headers: { Authorization: `Bearer ${api.key}` } });
  const targets = (await response.json()) as { targets: string[]; labels: Record<string, string> }[];
  assert.equal(targets.length, 1);
  const [{ targets: hosts, labels }] = targets as [(typeof targets)[0]];
  assert.equal(labels.instance, id);
  const there = await fetch(`${labels.__scheme__}://${hosts[0]}${labels.__metrics_path__}`, {
    headers: { Authorization: `Bearer ${api.key}` },
  });
  assert.equal(parsePrometheus(await there.text()).get('sandbox_backend_sandbox_up')?.samples[0]?.value, 1);
});

test('the server answers with what it is given, and to holders of a key only', async () => {
  await using api = await openTestApi({
    readMetrics: async () => [{ name: 'a_total', help: 'A.', type: 'counter', samples: [{ value: 2 }] }],
  });
  const families = parsePrometheus((await scrape(api, '/metrics')).text);
  assert.equal(families.get('a_total')?.samples[0]?.value, 2);
  for (const path of ['/metrics', '/metrics/sandboxes', '/metrics/sandboxes/iabc', '/metrics/targets']) {
    assert.equal((await api.app.request(path)).status, 401, path);
  }
  assert.equal((await scrape(api, '/metrics/sandboxes/..%2f..%2fetc')).status, 400);
});

test('what holds a place is counted by state', async () => {
  await using api = await openTestApi();
  await create(api);
  const counts = api.countSandboxes();
  assert.equal(counts.running, 1);
  assert.equal(counts.killing, 0);
});
