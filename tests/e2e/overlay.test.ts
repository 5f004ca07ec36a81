import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Sandbox } from 'e2b';
import { dataRoot, startServer, type TestServer, templateManager } from '../harness/server.ts';

/** With an overlay all sandboxes read one root file system; a VMM that can brings it to them as memory. */
describe('an overlay', () => {
  let server: TestServer;
  const file = join(tmpdir(), `overlay-${process.pid}.json`);
  before(async () => {
    const spec = {
      template: 'overlay-test',
      dockerImg: 'debian:',
      vcpu: 1,
      memMB: 512,
      diskMB: 64,
      overlay: true,
    };
    writeFileSync(file, JSON.stringify(spec));
    templateManager(['--template', file]);
    server = await startServer();
    Object.assign(process.env, server.env);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(file, { force: true });
    rmSync(join(dataRoot, 'templates', 'overlay-test'), { recursive: true, force: true });
  });

  test('has one root for two sandboxes, and what each writes is its own', async () => {
    const options = { timeoutMs: 300_000, requestTimeoutMs: 120_000 };
    const [one, two] = await Promise.all([
      Sandbox.create('overlay-test', options),
      Sandbox.create('overlay-test', options),
    ]);
    try {
      const command =
        'echo mine >/etc/mine; cat /etc/os-release | head -n 1; grep " / " /proc/mounts | cut -d " " -f 3';
      const first = await one.commands.run(command, { user: 'root' });
      assert.match(first.stdout, /^PRETTY_NAME=.*\noverlay\n$/);
      const seen = await two.commands.run('ls /etc/mine || echo none', { user: 'root' });
      assert.match(seen.stdout, /none/);
    } finally {
      await Promise.all([one.kill(), two.kill()]);
    }
  });

  test('is memory where the VMM maps it, and a disk elsewhere', async () => {
    const sandbox = await Sandbox.create('overlay-test', { timeoutMs: 300_000, requestTimeoutMs: 120_000 });
    try {
      const { stdout } = await sandbox.commands.run('ls /sys/block', { user: 'root' });
      const disks = stdout.split('\n').filter((name) => /^(?:vd|pmem)/.test(name));
      const mapped = process.env.SANDBOX_VMM === 'cloud-hypervisor';
      assert.deepEqual(disks.sort(), mapped ? ['pmem0', 'vda', 'vdb'] : ['vda', 'vdb', 'vdc']);
      if (!mapped) return;
      const { stdout: mounts } = await sandbox.commands.run('dmesg | grep -i dax; true', { user: 'root' });
      assert.doesNotMatch(mounts, /DAX (?:unsupported|is not supported)/i);
    } finally {
      await sandbox.kill();
    }
  });
});
