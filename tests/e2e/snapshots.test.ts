import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox, SandboxError } from 'e2b';
import {
  dataRoot,
  ensureDefaultTemplate,
  startServer,
  type TestServer,
  templateManager,
} from '../harness/server.ts';

const patience = { requestTimeoutMs: 300_000 };

describe('snapshots of sandboxes', () => {
  let server: TestServer;
  let source: Sandbox;

  before(async () => {
    ensureDefaultTemplate();
    server = await startServer();
    Object.assign(process.env, server.env);
    source = await Sandbox.create('default-sandbox', {
      envs: { COLOUR: 'blue' },
      timeoutMs: 1_800_000,
      ...patience,
    });
    await source.commands.run('i=0; while true; do i=$((i+1)); echo $i > /tmp/count; sleep 0.1; done', {
      background: true,
      timeoutMs: 0,
    });
    await source.files.write('/home/user/notes', 'of the source');
  });
  after(async () => {
    await source?.kill();
    await server?.[Symbol.asyncDispose]();
  });

  const read = async (sandbox: Sandbox, command: string) =>
    (await sandbox.commands.run(command, patience)).stdout.trim();
  const countsOn = async (sandbox: Sandbox) => {
    const first = Number(await read(sandbox, 'cat /tmp/count'));
    for (let round = 0; round < 100; round++) {
      if (Number(await read(sandbox, 'cat /tmp/count')) > first) return true;
      await sleep(100);
    }
    return false;
  };

  test('starts as often as wanted with files, programs and environment of that moment', async () => {
    const { snapshotId } = await source.createSnapshot(patience);
    const folder = join(dataRoot, 'templates', snapshotId.replace(':default', ''), 'current');
    // Memory is in its own file, which all sandboxes from it share.
    assert.ok(statSync(join(folder, 'state')).size < 16 * 2 ** 20);
    await source.files.write('/home/user/notes', 'later');
    assert.ok(await countsOn(source), 'the source runs on');

    const [one, two] = await Promise.all([
      Sandbox.create(snapshotId, { envs: { SIZE: 'small' }, ...patience }),
      Sandbox.create(snapshotId, patience),
    ]);
    try {
      assert.equal(await one!.files.read('/home/user/notes'), 'of the source');
      assert.ok(await countsOn(one!), 'the program of the source runs on in the copy');
      assert.equal(await read(one!, 'echo $COLOUR $SIZE'), 'blue small');
      assert.equal(await read(two!, 'echo $COLOUR $SIZE'), 'blue');
      const facts = await Promise.all(
        [source, one!, two!].map((sandbox) => read(sandbox, 'hostname; cat /proc/sys/kernel/random/uuid')),
      );
      assert.equal(new Set(facts.flatMap((rows) => rows.split('\n'))).size, 6, 'names and randomness differ');
      await one!.files.write('/home/user/notes', 'of one');
      assert.equal(await two!.files.read('/home/user/notes'), 'of the source');
      assert.equal(await source.files.read('/home/user/notes'), 'later');

      await assert.rejects(Sandbox.deleteSnapshot(snapshotId), SandboxError);
    } finally {
      await Promise.all([one!.kill(), two!.kill()]);
    }
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), true);
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), false);
    await assert.rejects(Sandbox.create(snapshotId, patience), /not found/);
  });

  test('of a sandbox from a snapshot, under a name that is made anew', async () => {
    const name = `e2e-${process.pid}`;
    await source.createSnapshot({ name, ...patience });
    const first = await Sandbox.create(name, patience);
    try {
      await first.files.write('/home/user/notes', 'second');
      const { snapshotId } = await first.createSnapshot({ name, ...patience });
      assert.equal(snapshotId, `${name}:default`);
      const second = await Sandbox.create(snapshotId, patience);
      try {
        assert.equal(await second.files.read('/home/user/notes'), 'second');
        assert.ok(await countsOn(second));
      } finally {
        await second.kill();
      }
      const listed = await Sandbox.listSnapshots({ ...patience }).nextItems();
      assert.deepEqual(
        listed.map((snapshot) => snapshot.snapshotId).filter((id) => id.startsWith(name)),
        [`${name}:default`],
      );
    } finally {
      await first.kill();
    }
    assert.equal(statSync(join(dataRoot, 'templates', name)).mode & 0o777, 0o700, 'memory is for its owner');
    assert.equal(await Sandbox.deleteSnapshot(`${name}:default`), true);
  });

  test('no template is built over a snapshot', async () => {
    const name = `kept-${process.pid}`;
    const { snapshotId } = await source.createSnapshot({ name, ...patience });
    const file = join(dataRoot, 'cache', `${name}.json`);
    writeFileSync(
      file,
      JSON.stringify({ template: name, dockerImg: 'debian:', vcpu: 1, memMB: 256, diskMB: 256 }),
    );
    assert.throws(() => templateManager(['--template', file]), /is a snapshot of a sandbox/);
    rmSync(file);
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), true);
  });

  test("a template's name is refused, and a name that is none", async () => {
    await assert.rejects(source.createSnapshot({ name: 'default-sandbox', ...patience }), /taken/);
    await assert.rejects(source.createSnapshot({ name: '../../etc', ...patience }), /is not a template name/);
    assert.ok(await countsOn(source));
  });

  test('a kill in the middle leaves neither the sandbox nor a part of the snapshot', async () => {
    const victim = await Sandbox.create('default-sandbox', patience);
    const name = `killed-${process.pid}`;
    const making = victim.createSnapshot({ name, ...patience });
    await Promise.all([assert.rejects(making), untilWork().then(() => victim.kill(patience))]);
    assert.equal(existsSync(join(dataRoot, 'templates', name)), false);
    assert.deepEqual(workFolders(), []);
    await assert.rejects(Sandbox.create(name, patience), /not found/);
  });

  test('kill -9 of the server in the middle: the sandbox runs on, and there is no snapshot', async () => {
    const name = `crashed-${process.pid}`;
    const making = source.createSnapshot({ name, ...patience });
    await Promise.all([assert.rejects(making), untilWork().then(() => server.crashAndRestart())]);
    assert.ok(await countsOn(source));
    await assert.rejects(Sandbox.create(name, patience), /not found/);
    const { snapshotId } = await source.createSnapshot({ name, ...patience });
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), true);
    assert.deepEqual(workFolders(), []);
  });

  const workFolders = () => readdirSync(join(dataRoot, 'work')).filter((entry) => !entry.endsWith('.lock'));
  /** Until the snapshot is being made. */
  async function untilWork() {
    for (let round = 0; round < 1000; round++) {
      if (workFolders().length > 0) return;
      await sleep(5);
    }
    assert.fail('no snapshot was begun');
  }
});
