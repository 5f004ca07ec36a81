import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBackend } from '../testing/fake-backend.ts';
import { runCli } from '../testing/run-cli.ts';

// What the seed's command line has beyond sandboxes, and snapshots, which it lacks.

const orphan = (sandboxId: string) => ({
  sandboxId,
  template: 'base\u001b[2J',
  pid: 4711,
  slotIndex: 9,
  startedAt: '2026-01-02T03:04:05Z',
});

test('orphans are listed apart from sandboxes', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  backend.addSandbox();
  const ended = { ...orphan('m2'), pid: undefined, startedAt: undefined };
  backend.orphans = [orphan('i1'), ended];
  const { status, stdout } = await runCli(['sandbox', 'ls', '--orphan'], { env });
  const [head, one, two, ...rest] = stdout.trimEnd().split('\n');
  assert.equal(status, 0);
  assert.match(head ?? '', /^ID +TEMPLATE +STATE +PID +NETWORK +STARTED$/);
  assert.match(one ?? '', /^i1 +base\\x1b\[2J +orphan +4711 +9 +2026-01-02 /);
  assert.match(two ?? '', /^m2 .* orphan +- +9 +-$/);
  assert.deepEqual(rest, []);
  const json = await runCli(['sandbox', 'ls', '--orphan', '--json'], { env });
  assert.deepEqual(
    JSON.parse(json.stdout).map(({ sandboxId }: { sandboxId: string }) => sandboxId),
    ['i1', 'm2'],
  );
  assert.equal((await runCli(['sandbox', 'ls', '--orphan', '-a'], { env })).status, 2);
  assert.equal((await runCli(['sandbox', 'ls', '--orphan', 'i1'], { env })).status, 2);
});

test('purge ends orphans by id, or all of them, and nothing else', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const id = backend.addSandbox();
  backend.orphans = ['i1', 'm2', 'i3'].map(orphan);
  const purge = (...args: string[]) => runCli(['sandbox', 'purge', ...args], { env });
  assert.equal((await purge()).status, 2);
  assert.equal((await purge('i1', '-a')).status, 2);
  const wrong = await purge('i1', id);
  assert.equal(wrong.status, 4);
  assert.match(wrong.stderr, new RegExp(`error: There is no orphan ${id}`));
  assert.equal(backend.orphans.length, 3);
  assert.deepEqual(await purge('m2'), { status: 0, stdout: 'Orphan m2 is purged.\n', stderr: '' });
  assert.deepEqual(JSON.parse((await purge('--all', '--json')).stdout), { purged: ['i1', 'i3'] });
  assert.equal((await purge('-a')).stdout, 'There is no orphan.\n');
  assert.ok(backend.sandboxes.has(id));
});

test('snapshots are made, listed, started from and deleted', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const [one, two] = [backend.addSandbox(), backend.addSandbox()];
  const snapshot = (...args: string[]) => runCli(['sandbox', 'snapshot', ...args], { env });
  assert.deepEqual(await snapshot(one.slice(0, 5), '--name', 'mine'), {
    status: 0,
    stdout: `Snapshot mine of ${one} is made.\n`,
    stderr: '',
  });
  assert.equal((await snapshot(one, two, '--name', 'mine')).status, 2);
  assert.equal((await snapshot()).status, 2);

  const mixed = await snapshot('izzzz', two, '--delete', '--json');
  assert.equal(mixed.status, 4);
  assert.deepEqual(JSON.parse(mixed.stdout), { snapshots: [{ sandboxId: two, name: 'snapshot-2' }] });
  assert.deepEqual([...backend.sandboxes.keys()], [one]);

  backend.pageSize = 1;
  const table = (await runCli(['snapshot', 'ls'], { env })).stdout.trimEnd().split('\n');
  assert.match(table[0] ?? '', /^NAME +SANDBOX +CREATED$/);
  assert.match(table[1] ?? '', new RegExp(`^mine +${one} +2026-01-02 `));
  assert.equal(table.length, 3);
  const own = JSON.parse((await runCli(['snapshot', 'ls', '-s', one, '--json'], { env })).stdout);
  assert.deepEqual(
    own.map(({ name }: { name: string }) => name),
    ['mine'],
  );

  const removal = await runCli(['snapshot', 'del', 'mine:default', 'default-sandbox'], { env });
  assert.equal(removal.status, 4);
  assert.equal(removal.stdout, 'Snapshot mine is deleted.\n');
  assert.match(removal.stderr, /There is no snapshot default-sandbox/);
  const templates = backend.requests.filter(
    ({ method, url }) => method === 'DELETE' && url.includes('default'),
  );
  assert.deepEqual(templates, [], 'a template is never deleted by this command');
});

test('deactivate says what came back', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const id = backend.addSandbox();
  const plain = await runCli(['sandbox', 'deactivate', id], { env });
  assert.deepEqual(plain, {
    status: 0,
    stdout: `Sandbox ${id} gave 40 MiB back; it holds 60 MiB.\n`,
    stderr: '',
  });
  const { deactivated } = JSON.parse((await runCli(['sandbox', 'deactivate', id, '--json'], { env })).stdout);
  assert.equal(deactivated[0].reclaimedBytes, 40 * 2 ** 20);
  assert.equal((await runCli(['sandbox', 'deactivate', 'i00000000000000000000'], { env })).status, 4);
});

test('the control group and the networks of the host', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  assert.equal((await runCli(['cgroup', 'recreate'], { env })).status, 0);
  assert.equal(backend.requests.at(-1)?.url, '/node/cgroup/recreate');
  const gone = await runCli(['network', 'del', '3', '7', '4'], { env });
  assert.equal(gone.status, 5);
  assert.equal(gone.stdout, 'Network 3 is deleted.\nNetwork 4 is deleted.\n');
  assert.equal(gone.stderr, 'error: The slot 7 is in use\nhint: Delete the sandbox first.\n');
  const json = await runCli(['network', 'delete', '3', '--json'], { env });
  assert.deepEqual(JSON.parse(json.stdout), { deleted: [3] });
  for (const wrong of [[], ['-1'], ['x'], ['../orphans']]) {
    assert.equal((await runCli(['network', 'delete', ...wrong], { env })).status, 2, wrong.join());
  }
});

test("the seed's -i and -p find the server at each of these commands, by name too", async () => {
  await using backend = await FakeBackend.start();
  const env = { ...backend.env, E2B_API_URL: 'http://127.0.0.1:1' };
  const { port } = new URL(backend.apiUrl);
  for (const words of [
    ['cgroup', 'recreate'],
    ['network', 'del', '1'],
    ['snapshot', 'ls'],
    ['sandbox', 'purge', '-a'],
  ]) {
    const { status, stderr } = await runCli([...words, '-i', 'localhost', '-p', port], { env });
    assert.equal(status, 0, `${words.join(' ')} ${stderr}`);
  }
  assert.equal((await runCli(['cgroup', '-i', 'localhost', '-p', port, 'recreate'], { env })).status, 0);
});
