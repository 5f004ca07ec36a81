import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from 'e2b';
import { holdings } from '../harness/leaks.ts';
import { checkout, dataRoot, ensureDefaultTemplate, hostEnv, startServer } from '../harness/server.ts';

before(ensureDefaultTemplate);

test('after kill -9 of the server and a restart every sandbox is found again, its programs still running', async () => {
  await using server = await startServer();
  Object.assign(process.env, server.env);
  const one = await Sandbox.create('default-sandbox', { timeoutMs: 300_000, metadata: { name: 'one' } });
  const two = await Sandbox.create('default-sandbox', { timeoutMs: 300_000 });
  const counter = await one.commands.run(
    'i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.1; done',
    { background: true },
  );
  await one.files.write('/tmp/kept', 'kept');
  await counter.disconnect();

  await server.crashAndRestart();

  const listed = await Sandbox.list().nextItems();
  assert.deepEqual(new Set(listed.map((info) => info.sandboxId)), new Set([one.sandboxId, two.sandboxId]));
  assert.deepEqual((await one.getInfo()).metadata, { name: 'one' });
  assert.equal(await one.files.read('/tmp/kept'), 'kept');
  const before = Number(await one.files.read('/tmp/count'));
  await sleep(1000);
  assert.ok(Number(await one.files.read('/tmp/count')) > before, 'the program goes on counting');
  assert.ok((await one.commands.list()).some((row) => row.pid === counter.pid));
  assert.equal((await two.commands.run('echo alive')).stdout, 'alive\n');
  assert.equal(await two.kill(), true);
  assert.equal(await one.kill(), true);
});

test('a sandbox whose time ran out while no server ran is ended by the next one', async () => {
  await using server = await startServer();
  Object.assign(process.env, server.env);
  const sandbox = await Sandbox.create('default-sandbox', { timeoutMs: 5_000 });
  await sleep(4_500);
  await server.crashAndRestart();
  for (let round = 0; round < 100 && (await Sandbox.list().nextItems()).length > 0; round++) await sleep(100);
  assert.deepEqual(await Sandbox.list().nextItems(), []);
  assert.equal(await sandbox.isRunning(), false);
});

test('stopping the server frees everything that its sandboxes held', async () => {
  const empty = holdings();
  {
    await using server = await startServer({ SANDBOX_WARM_MACHINES: '1' });
    Object.assign(process.env, server.env);
    await Sandbox.create('default-sandbox', { timeoutMs: 300_000 });
    await server.crashAndRestart();
    await Sandbox.create('default-sandbox', { timeoutMs: 300_000 });
    assert.ok(holdings().processes.length >= 2);
  }
  assert.deepEqual(holdings(), empty);
});

test('what a build held that was killed is freed by the next start of the server', async () => {
  const empty = holdings();
  const file = join(checkout, 'packages/template-manager/templates/default-sandbox.json');
  const builder = spawn(
    process.execPath,
    [join(checkout, 'packages/template-manager/src/main.ts'), '--template', file],
    {
      env: { ...process.env, ...hostEnv },
      stdio: 'ignore',
    },
  );
  for (let round = 0; round < 6000 && holdings().processes.length === 0; round++) await sleep(50);
  builder.kill('SIGKILL');
  await once(builder, 'close');
  assert.notDeepEqual(holdings(), empty);
  rmSync(join(dataRoot, 'work'), { recursive: true });
  await using server = await startServer({ SANDBOX_SPARE_SLOTS: '0' });
  assert.deepEqual({ ...holdings(), rules: [] }, { ...empty, rules: [] }, server.log());
});
