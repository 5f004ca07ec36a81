import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBackend } from '../../testing/fake-backend.ts';
import { runCli } from '../../testing/run-cli.ts';

test('create prints the id for people, for scripts and as JSON', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const plain = await runCli(['sandbox', 'create', '-t', 'default-sandbox'], { env });
  const [first] = backend.sandboxes.keys();
  assert.deepEqual(plain, { status: 0, stdout: `Sandbox ${first} is running.\n`, stderr: '' });

  const quiet = await runCli(['sandbox', 'create', '-q'], { env });
  assert.ok(backend.sandboxes.has(quiet.stdout.trim()));

  const json = JSON.parse((await runCli(['sandbox', 'create', '--json'], { env })).stdout);
  assert.ok(backend.sandboxes.has(json.sandboxId));
  assert.deepEqual(json.phases, { slot: 1.5, restore: 40, total: 45 });
});

test('create sends what it was told', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const flags = ['--timeout', '1h30m', '-m', 'a=1', '--metadata', 'b=x=y', '-e', 'K=', '--no-internet'];
  await runCli(['sandbox', 'create', ...flags], { env });
  await runCli(['sandbox', 'create', '--timeout', 'never'], { env });
  const [full, never] = backend.requests.map(({ body }) => body);
  assert.deepEqual(full, {
    templateID: 'default-sandbox',
    timeout: 5400,
    metadata: { a: '1', b: 'x=y' },
    envVars: { K: '' },
    allow_internet_access: false,
  });
  assert.deepEqual(never, { templateID: 'default-sandbox', timeout: 2 ** 31 - 1 });
});

test('create takes an id, a snapshot and the mark of the seed', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const id = '0b9a2c1e-0000-4000-8000-000000000000';
  const args = ['sandbox', 'create', '-t', 'default-sandbox', '--id', id, '--enable-diff-snapshot'];
  assert.equal((await runCli(args, { env })).stdout, `Sandbox ${id} is running.\n`);
  assert.match((await runCli(['sandbox', 'ls'], { env })).stdout, /ENDS +DIFFSNAPSHOT\n.* true\n$/);
  const [row] = JSON.parse((await runCli(['sandbox', 'ls', id, '--json'], { env })).stdout);
  assert.deepEqual([row.diffSnapshots, row.slotIndex], [true, 0]);

  backend.snapshots.set('mine', id);
  const copy = await runCli(['sandbox', 'create', '--from-snapshot', 'mine', '--json'], { env });
  assert.equal(JSON.parse(copy.stdout).template, 'mine');
  assert.deepEqual(backend.requests.at(-1)?.body, { templateID: 'mine', timeout: 3 * 3600 });

  for (const wrong of [
    ['--id', '../x'],
    ['--id', ''],
    ['-t', 'default-sandbox', '--from-snapshot', 'mine'],
  ]) {
    const { status, stdout } = await runCli(['sandbox', 'create', ...wrong], { env });
    assert.deepEqual([status, stdout], [2, ''], wrong.join(' '));
  }
  assert.equal(backend.sandboxes.size, 2);
});

test('an error is a message and a hint on standard error, and an exit status of its own', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const missing = await runCli(['sandbox', 'create', '-t', 'nope'], { env });
  assert.deepEqual(missing, {
    status: 4,
    stdout: '',
    stderr: "error: template 'nope' not found\nhint: Build it first.\n",
  });
  const json = await runCli(['sandbox', 'create', '-t', 'nope', '--json'], { env });
  assert.equal(json.stdout, '');
  assert.deepEqual(JSON.parse(json.stderr), {
    error: { code: 'not_found', message: "template 'nope' not found", hint: 'Build it first.' },
  });
  const refused = await runCli(['sandbox', 'create'], { env: { ...env, E2B_API_KEY: 'e2b_00' } });
  assert.equal(refused.status, 3);
  assert.match(refused.stderr, /hint: .*E2B_API_KEY/);
});

test('ls shows what runs, -a what is paused as well, over more pages than one', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  backend.pageSize = 2;
  for (let made = 0; made < 5; made++) backend.addSandbox();
  const paused = backend.addSandbox({ state: 'paused' });

  const running = (await runCli(['sandbox', 'ls'], { env })).stdout.trimEnd().split('\n');
  assert.match(running[0] ?? '', /^ID +TEMPLATE +STATE +ADDRESS +PID +STARTED +ENDS$/);
  assert.equal(running.length, 6);
  assert.match(running[1] ?? '', /^i0001x+ +default-sandbox +running +127\.0\.0\.1 +\d+ .* in 4m \d+s|in 5m/);

  const all = JSON.parse((await runCli(['sandbox', 'ls', '-a', '--json'], { env })).stdout);
  assert.equal(all.length, 6);
  assert.equal(all.find((row: { sandboxID: string }) => row.sandboxID === paused).state, 'paused');
});

test('ls of ids shows those it finds and fails for the rest', async () => {
  await using backend = await FakeBackend.start();
  const id = backend.addSandbox();
  const listed = await runCli(['sandbox', 'ls', 'izzzz', id.slice(0, 5), '--json'], { env: backend.env });
  assert.equal(listed.status, 4);
  const [row, ...rest] = JSON.parse(listed.stdout);
  assert.equal(row.sandboxID, id);
  assert.deepEqual(rest, []);
  assert.equal('envdAccessToken' in row || 'pathAddress' in row, false);
  assert.equal(JSON.parse(listed.stderr).error.code, 'not_found');
});

test('what strangers wrote does not reach the terminal as commands', async () => {
  await using backend = await FakeBackend.start();
  const id = backend.addSandbox({ templateID: '\u001b[2Jevil' });
  backend.logs.push({ timestamp: '2026-01-02T03:04:05Z', level: 'info', message: 'a\u001b]0;title\u0007b' });
  const { env } = backend;
  for (const args of [['ls'], ['info', id], ['logs', id]]) {
    const { stdout } = await runCli(['sandbox', ...args], { env });
    assert.equal(stdout.includes('\u001b'), false, args[0]);
    assert.match(stdout, /\\x1b/, args[0]);
  }
});

test('a prefix that several begin with, or too short a one, is refused', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  backend.addSandbox({ sandboxID: 'iaaaa1' });
  backend.addSandbox({ sandboxID: 'iaaaa2' });
  const several = await runCli(['sandbox', 'info', 'iaaaa'], { env });
  assert.equal(several.status, 2);
  assert.match(several.stderr, /2 sandboxes begin with iaaaa\nhint: .*iaaaa1, iaaaa2/);
  assert.equal((await runCli(['sandbox', 'info', 'iaa'], { env })).status, 4);
  assert.equal((await runCli(['sandbox', 'info', 'iaaaa1'], { env })).status, 0);
  assert.equal((await runCli(['sandbox', 'info', '../status'], { env })).status, 2);
});

test('delete: by every name, several at once, and those that are not there', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const ids = Array.from({ length: 4 }, () => backend.addSandbox());
  const names = ['delete', 'del', 'rm', 'kill'];
  for (const [index, name] of names.entries()) {
    const { status, stdout } = await runCli(['sandbox', name, ids[index]!], { env });
    assert.deepEqual([status, stdout], [0, `Sandbox ${ids[index]} is deleted.\n`]);
  }
  const left = backend.addSandbox();
  const mixed = await runCli(['sandbox', 'delete', ids[0]!, left], { env });
  assert.equal(mixed.status, 4);
  assert.equal(mixed.stdout, `Sandbox ${left} is deleted.\n`);
  assert.match(mixed.stderr, /There is no sandbox/);
  assert.equal((await runCli(['sandbox', 'delete'], { env })).status, 2);
});

test('delete --all asks, and the end of input is a no', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  backend.addSandbox();
  backend.addSandbox({ state: 'paused' });
  const args = ['sandbox', 'delete', '--all'];

  const silent = await runCli(args, { env });
  assert.equal(silent.status, 130);
  assert.match(
    silent.stderr,
    /Delete all 2 sandboxes\? \(y\/n\) \nerror: Nothing was deleted\nhint: Add --yes/,
  );
  assert.equal((await runCli(args, { env, input: 'n\n' })).status, 130);
  assert.equal((await runCli(args, { env, input: 'yellow\n' })).status, 130);
  assert.equal(backend.sandboxes.size, 2);

  assert.equal((await runCli(args, { env, input: 'y\n' })).status, 0);
  assert.equal(backend.sandboxes.size, 0);
  assert.equal((await runCli(args, { env })).stdout, 'There is no sandbox.\n');
  backend.addSandbox();
  assert.equal((await runCli([...args, '-y'], { env })).stderr, '');
});

test('info and metrics', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const id = backend.addSandbox({ metadata: { owner: 'me' } });
  const info = await runCli(['sandbox', 'info', id.slice(0, 6)], { env });
  assert.match(
    info.stdout,
    new RegExp(`^id +${id}\ntemplate +default-sandbox\nstate +running\naddress +127`),
  );
  assert.match(info.stdout, /memory +512 MiB\n/);
  assert.match(info.stdout, /metadata +owner=me\n/);
  assert.equal(JSON.parse((await runCli(['sandbox', 'info', id, '--json'], { env })).stdout).sandboxID, id);
  const metrics = await runCli(['sandbox', 'metrics', id], { env });
  assert.match(metrics.stdout, /cpu +12\.5 % of 2\nmemory +128 MiB of 512 MiB\ndisk +0 B of 1 GiB\n/);
  assert.equal(JSON.parse((await runCli(['sandbox', 'metrics', id, '--json'], { env })).stdout).length, 1);
});

test('logs: the last lines, and what comes until the sandbox ends', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const id = backend.addSandbox();
  const add = (second: number, message: string) =>
    backend.logs.push({ timestamp: `2026-01-02T03:04:0${second}.000Z`, level: 'info', message });
  for (const second of [1, 2, 3]) add(second, `line ${second}`);

  const last = await runCli(['sandbox', 'logs', id, '-n', '2'], { env });
  assert.equal(last.stdout.trimEnd().split('\n').length, 2);
  assert.match(last.stdout, /line 2\n.*line 3\n$/);
  const [first] = (await runCli(['sandbox', 'logs', id, '--json'], { env })).stdout.split('\n');
  assert.deepEqual(JSON.parse(first ?? ''), backend.logs[0]);

  backend.onRequest = (url) =>
    void (url.includes('forward') && backend.logs.length === 3 && add(3, 'line 4'));
  const followed = await runCli(['sandbox', 'logs', id, '-f', '-n', '0'], {
    env,
    onOutput: (_child, text) => void (text.includes('line 4') && backend.sandboxes.delete(id)),
  });
  assert.equal(followed.status, 0);
  assert.match(followed.stdout, /^\S+ {2}info {3}line 4\n$/);
  assert.match(followed.stderr, /has ended/);
});
