import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from 'e2b';
import { settled } from '../harness/leaks.ts';
import { ensureDefaultTemplate, startServer, type TestServer } from '../harness/server.ts';

describe('sandboxes', () => {
  let server: TestServer;
  before(async () => {
    ensureDefaultTemplate();
    server = await startServer();
    Object.assign(process.env, server.env);
  });
  after(() => server?.[Symbol.asyncDispose]());

  test('twenty at once all answer, differ in all that must differ, and leave nothing behind', async () => {
    const before = await settled();
    const sandboxes = await Promise.all(
      Array.from({ length: 20 }, () =>
        Sandbox.create('default-sandbox', { timeoutMs: 600_000, requestTimeoutMs: 300_000 }),
      ),
    );
    try {
      const facts = await Promise.all(
        sandboxes.map(async (sandbox) => {
          const { stdout } = await sandbox.commands.run(
            'hostname; cat /proc/sys/kernel/random/uuid; head -c 16 /dev/urandom | od -An -tx1; date +%s',
            { requestTimeoutMs: 300_000, timeoutMs: 300_000 },
          );
          return stdout.split('\n');
        }),
      );
      for (const [column, what] of ['host names', 'kernel uuids', 'random bytes'].entries()) {
        assert.equal(new Set(facts.map((rows) => rows[column])).size, 20, `${what} differ`);
      }
      for (const rows of facts)
        assert.ok(Math.abs(Number(rows[3]) - Date.now() / 1000) < 60, 'the clock is right');
    } finally {
      await Promise.all(sandboxes.map((sandbox) => sandbox.kill({ requestTimeoutMs: 300_000 })));
    }
    assert.deepEqual(await settled(), before);
  });

  test('a sandbox has a kernel of its own, booted apart from that of the host', async () => {
    const sandbox = await Sandbox.create('default-sandbox');
    try {
      for (const path of ['/proc/sys/kernel/random/boot_id', '/proc/cmdline']) {
        const inside = await sandbox.files.read(path);
        assert.notEqual(inside.trim(), '', path);
        assert.notEqual(inside, readFileSync(path, 'utf8'), path);
      }
    } finally {
      await sandbox.kill();
    }
  });

  test('files and programs of one sandbox are not those of another', async () => {
    const [one, two] = await Promise.all([
      Sandbox.create('default-sandbox'),
      Sandbox.create('default-sandbox'),
    ]);
    await one!.files.write('/home/user/secret', 'mine');
    assert.equal(await two!.files.exists('/home/user/secret'), false);
    await Promise.all([one!.kill(), two!.kill()]);
  });

  test('a sandbox ends when its time is over, and its files and namespace are gone', async () => {
    const before = await settled();
    const sandbox = await Sandbox.create('default-sandbox', { timeoutMs: 3_000 });
    for (let round = 0; round < 150 && (await sandbox.isRunning()); round++) await sleep(100);
    assert.equal(await sandbox.isRunning(), false);
    assert.deepEqual(await settled(), before);
  });

  test('a VMM that dies takes its sandbox with it, and nothing is left', async () => {
    const before = await settled();
    const sandbox = await Sandbox.create('default-sandbox', { timeoutMs: 300_000 });
    const status = (await (
      await fetch(`${server.apiUrl}/status`, { headers: { 'X-API-KEY': server.apiKey } })
    ).json()) as { sandboxes: { sandboxId: string; pid: number }[] };
    const pid = status.sandboxes.find((row) => row.sandboxId === sandbox.sandboxId)!.pid;
    process.kill(pid, 'SIGKILL');
    for (let round = 0; round < 100 && (await Sandbox.list().nextItems()).length > 0; round++)
      await sleep(50);
    assert.equal(await sandbox.isRunning(), false);
    assert.equal(await sandbox.kill(), false);
    assert.deepEqual(await settled(), before);
  });

  test('a guest that powers itself off is a sandbox that ended', async () => {
    const sandbox = await Sandbox.create('default-sandbox', { timeoutMs: 300_000 });
    await sandbox.commands
      .run('/.envd/bin/busybox poweroff -f', { user: 'root', background: true })
      .catch(() => {});
    for (let round = 0; round < 200 && (await Sandbox.list().nextItems()).length > 0; round++)
      await sleep(50);
    assert.equal(await sandbox.isRunning(), false);
  });

  test('the machine runs as a user of its own, without capabilities, in a world of its own', async () => {
    const sandbox = await Sandbox.create('default-sandbox', { timeoutMs: 300_000 });
    try {
      const status = (await (
        await fetch(`${server.apiUrl}/status`, { headers: { 'X-API-KEY': server.apiKey } })
      ).json()) as { sandboxes: { sandboxId: string; pid: number }[] };
      const pid = status.sandboxes.find((row) => row.sandboxId === sandbox.sandboxId)!.pid;
      const text = execFileSync('cat', [`/proc/${pid}/status`], { encoding: 'utf8' });
      const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
      assert.ok(Number(field('Uid').split(/\s+/)[0]) >= 100_000, field('Uid'));
      // And none can come back, whatever is left of the bounding set: it may get no new privileges.
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) assert.match(field(set), /^0+$/, set);
      assert.equal(field('NoNewPrivs'), '1');
      // Not every VMM has a filter on its first thread, but each has them on those that serve the guest.
      const threads = execFileSync('sh', ['-c', `cat /proc/${pid}/task/*/status`], { encoding: 'utf8' });
      const filters = [...threads.matchAll(/^Seccomp:\s*(\d)$/gm)].map(([, mode]) => mode);
      assert.ok(filters.includes('2'), `the filters of the VMM are on: ${filters}`);
      assert.throws(
        () => execFileSync('ls', [`/proc/${pid}/root/root`], { stdio: 'pipe' }),
        'sees nothing of /root',
      );
      for (const kind of ['mnt', 'net', 'ipc', 'uts']) {
        const link = (who: string) =>
          execFileSync('readlink', [`/proc/${who}/ns/${kind}`], { encoding: 'utf8' });
        assert.notEqual(link(String(pid)), link('self'), `${kind} namespace`);
      }
    } finally {
      await sandbox.kill();
    }
  });
});
