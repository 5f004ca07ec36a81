import assert from 'node:assert/strict';
import test from 'node:test';
import { SandboxError } from '@sandbox-backend/protocol';
import { createFakeNode } from '../../testing/fake-node.ts';
import { openTestApi } from '../../testing/test-api.ts';

const orphan = (sandboxId: string) => ({
  sandboxId,
  template: 'base',
  pid: 4711,
  slotIndex: 9,
  startedAt: '2026-01-01T00:00:00.000Z',
});

test('orphans are listed and purged, by id or all of them', async () => {
  await using api = await openTestApi({ node: createFakeNode({ orphans: ['i1', 'm2', 'i3'].map(orphan) }) });
  const id = (await api.send('POST', '/v2/sandboxes', { templateID: 'base' })).json.sandboxID;
  assert.deepEqual((await api.send('GET', '/node/orphans')).json[0], orphan('i1'));
  const purge = (body?: object) => api.send('POST', '/node/orphans/purge', body);
  const wrong = await purge({ sandboxIds: ['i1', id] });
  assert.equal(wrong.status, 404);
  assert.match(wrong.json.message, new RegExp(`^There is no orphan ${id}; nothing was purged\n.*delete it`));
  for (const sandboxIds of [['../x'], 'i1', [], [7], Array.from({ length: 1001 }, () => 'i1')]) {
    assert.equal((await purge({ sandboxIds })).status, 400, JSON.stringify(sandboxIds).slice(0, 50));
  }
  assert.deepEqual((await purge({ sandboxIds: ['m2'] })).json, { purged: ['m2'] });
  assert.deepEqual((await purge()).json, { purged: ['i1', 'i3'] });
  assert.equal((await api.send('GET', `/sandboxes/${id}`)).status, 200);
});

test('deactivate, and what the host is asked for', async () => {
  await using api = await openTestApi();
  const id = (await api.send('POST', '/v2/sandboxes', { templateID: 'base' })).json.sandboxID;
  assert.deepEqual((await api.send('POST', `/sandboxes/${id}/deactivate`)).json, {
    beforeBytes: 100 * 2 ** 20,
    afterBytes: 60 * 2 ** 20,
    durationMs: 5,
    reclaimedBytes: 40 * 2 ** 20,
  });
  assert.equal((await api.send('POST', '/sandboxes/i0/deactivate')).status, 404);
  assert.equal((await api.send('POST', '/node/cgroup/recreate')).status, 204);
  assert.equal((await api.send('DELETE', '/node/networks/12')).status, 204);
  assert.deepEqual(api.node.hostCalls, ['recreateCgroup', 'cleanNetwork 12']);
  for (const index of ['-1', '1.5', 'x', '999999999', '99999999999', '%2e%2e%2f']) {
    assert.equal((await api.send('DELETE', `/node/networks/${index}`)).status, 400, index);
  }
  api.node.cleanNetwork = () => Promise.reject(new SandboxError('failed_precondition', 'in use'));
  assert.equal((await api.send('DELETE', '/node/networks/12')).status, 409);
});

test('none but the operator touches the host, and none but its team a sandbox', async () => {
  await using api = await openTestApi({ node: createFakeNode({ orphans: [orphan('i1')] }) });
  const id = (await api.send('POST', '/v2/sandboxes', { templateID: 'base' })).json.sandboxID;
  const stranger = { 'X-API-KEY': api.strangersKey() };
  for (const [method, path] of [
    ['GET', '/node/orphans'],
    ['POST', '/node/orphans/purge'],
    ['POST', '/node/cgroup/recreate'],
    ['DELETE', '/node/networks/1'],
  ] as const) {
    const { status, json } = await api.send(method, path, undefined, stranger);
    assert.equal(status, 403, path);
    assert.equal(json.error_code, 'permission_denied');
    assert.equal((await api.send(method, path, undefined, { 'X-API-KEY': '' })).status, 401, path);
  }
  assert.equal((await api.send('POST', `/sandboxes/${id}/deactivate`, undefined, stranger)).status, 404);
  assert.deepEqual(api.node.hostCalls, []);
  assert.equal(api.node.options.orphans?.length, 1);
});

test('a client may choose the id of its sandbox, and mark it', async () => {
  await using api = await openTestApi();
  const id = '0b9a2c1e-0000-4000-8000-000000000000';
  const make = (headers: Record<string, string>) =>
    api.send('POST', '/v2/sandboxes', { templateID: 'base' }, headers);
  const headers = { 'X-Sandbox-Id': id, 'X-Sandbox-Diff-Snapshots': '1' };
  assert.equal((await make(headers)).json.sandboxID, id);
  assert.equal((await make(headers)).status, 409);
  assert.equal((await make({ 'X-Sandbox-Id': '../x' })).status, 400);
  const { sandboxes } = (await api.send('GET', '/status')).json;
  assert.equal(sandboxes.length, 1);
  assert.deepEqual([sandboxes[0].diffSnapshots, sandboxes[0].slotIndex], [true, 0]);
});
