import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AuthenticationError, RateLimitError, Sandbox, SandboxError, SandboxNotFoundError } from 'e2b';
import { openTestApi } from '../../testing/test-api.ts';

// The published npm package, unmodified, against the API and a node without machines.
describe('the npm package e2b', () => {
  let api: Awaited<ReturnType<typeof openTestApi>>;
  let connection: { apiUrl: string; apiKey: string };
  before(async () => {
    api = await openTestApi({ limits: { maxSandboxes: 8 } });
    connection = { apiUrl: await api.serve(), apiKey: api.key };
  });
  after(() => api[Symbol.asyncDispose]());

  test('creates, describes, connects, extends and kills', async () => {
    const sandbox = await Sandbox.create('base', { ...connection, timeoutMs: 90_000, metadata: { a: 'b' } });
    const info = await sandbox.getInfo();
    assert.equal(info.sandboxId, sandbox.sandboxId);
    assert.equal(info.name, 'base');
    assert.equal(info.state, 'running');
    assert.deepEqual(info.metadata, { a: 'b' });
    assert.equal(info.endAt.getTime() - info.startedAt.getTime(), 90_000);
    assert.deepEqual(info.lifecycle, { onTimeout: 'kill', autoResume: false });

    const again = await Sandbox.connect(sandbox.sandboxId, { ...connection, timeoutMs: 1000 });
    assert.equal(again.sandboxId, sandbox.sandboxId);
    assert.deepEqual((await again.getInfo()).endAt, info.endAt, 'never shortened');
    await again.setTimeout(500_000);
    assert.ok((await sandbox.getInfo()).endAt > info.endAt);
    assert.equal((await sandbox.getMetrics())[0]?.memTotal, 4000);

    assert.equal(await sandbox.kill(), true);
    assert.equal(await sandbox.kill(), false);
    await assert.rejects(sandbox.getInfo(), SandboxNotFoundError);
    await assert.rejects(sandbox.setTimeout(1000), SandboxNotFoundError);
    await assert.rejects(Sandbox.connect(sandbox.sandboxId, connection), SandboxNotFoundError);
  });

  test('lists in pages with a metadata filter', async () => {
    const made: Sandbox[] = [];
    for (const n of [1, 2, 3, 4, 5]) {
      made.push(await Sandbox.create('base', { ...connection, metadata: { group: 'ü & +', n: String(n) } }));
    }
    const pages = Sandbox.list({
      ...connection,
      limit: 2,
      query: { metadata: { group: 'ü & +' }, state: ['running'] },
    });
    const seen: string[] = [];
    while (pages.hasNext) seen.push(...(await pages.nextItems()).map((info) => info.metadata.n!));
    assert.deepEqual(seen, ['5', '4', '3', '2', '1']);
    await Promise.all(made.map((sandbox) => sandbox.kill()));
  });

  test('errors arrive as the classes that its users catch', async () => {
    const create = (template: string, options = {}) =>
      Sandbox.create(template, { ...connection, retries: 0, ...options });
    await assert.rejects(create('base', { apiKey: `e2b_${'0'.repeat(40)}` }), AuthenticationError);
    await assert.rejects(create('nope'), (error: Error) => {
      assert.match(error.message, /404: template 'nope' not found/);
      return error instanceof SandboxError;
    });
    await assert.rejects(create('base', { lifecycle: { onTimeout: 'pause' } }), /autoPause is not supported/);
    const made = await Promise.all(Array.from({ length: 8 }, () => create('base')));
    await assert.rejects(create('base'), RateLimitError);
    await assert.rejects(made[0]!.pause(), /501: Pausing a sandbox is not supported/);
    await Promise.all(made.map((sandbox) => sandbox.kill()));
  });
});
