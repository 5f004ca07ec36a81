import assert from 'node:assert/strict';
import { chmod, copyFile, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { run } from '@sandbox-backend/kit';
import { asFields } from '../control/fields.ts';
import { bootSpec, makeBench, operation, restoreOne, restoreSpec, type Template } from '../testing/bench.ts';
import { Listener, sendCommand } from '../testing/guest.ts';
import type { VmmHarness } from '../testing/harness.ts';
import { plainRoom } from '../testing/plain-room.ts';
import { testKernel } from '../testing/real-harness.ts';
import { TEST_TAP, tapNamespace } from '../testing/tap-namespace.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { makeHarness } from './harness.ts';
import type { QemuMachine } from './machine.ts';
import { abandonSave } from './migrate.ts';

/** What is true of QEMU and need not be of every VMM. */
describe('qemu', () => {
  const held = new AsyncDisposableStack();
  let opened: Promise<{ harness: VmmHarness; template: Template } | string> | undefined;
  after(() => held.disposeAsync());

  const check = (
    what: string,
    body: (harness: VmmHarness, template: Template, t: TestContext) => Promise<void>,
  ) =>
    test(what, async (t) => {
      opened ??= open(held);
      const suite = await opened;
      if (typeof suite !== 'string') return body(suite.harness, suite.template, t);
      console.log(`NOT RUN: qemu: ${what}: ${suite}`);
      t.skip(suite);
    });

  check(
    'a second connection waits until its deadline and does the machine no harm',
    async (harness, template) => {
      await using restored = await restoreOne(harness, template);
      const { machine, bench } = restored;
      await machine.resume(operation());
      await assert.rejects(harness.vmm.recover(operation(200), machine.ref, bench.room), {
        code: 'deadline_exceeded',
      });
      assert.equal(await machine.state(operation()), 'running');
    },
  );

  check('a machine that was saved is saved again only after it ran', async (harness, template) => {
    await using restored = await restoreOne(harness, template);
    const { machine, bench } = restored;
    const state = (n: number) => join(bench.room.directory, `state${n}`);
    await machine.snapshot(operation(), { stateFile: state(1), memoryFile: machine.ref.memoryFile });
    await assert.rejects(
      machine.snapshot(operation(), { stateFile: state(2), memoryFile: machine.ref.memoryFile }),
      { code: 'failed_precondition' },
    );
    await machine.resume(operation());
    await machine.pause(operation());
    await machine.snapshot(operation(), { stateFile: state(3), memoryFile: machine.ref.memoryFile });
  });

  check('a save that nobody waits for any more does not stop the guest later', async (harness, template) => {
    await using restored = await restoreOne(harness, template);
    const { machine, bench, console } = restored;
    const { qmp } = machine as QemuMachine;
    const op = operation();
    await qmp.execute(op, 'migrate-set-parameters', { 'max-bandwidth': 1024 });
    const filename = join(bench.room.directory, 'begun');
    const addr = { transport: 'file', filename, offset: 0 };
    await qmp.execute(op, 'migrate', { channels: [{ 'channel-type': 'main', addr }] });
    await abandonSave(op, qmp);
    const { status } = asFields(await qmp.execute(op, 'query-migrate'));
    assert.equal(status, 'cancelled');
    await machine.resume(op);
    assert.equal(await machine.state(op), 'running');
    await console.until(op, /tick \d+/);
    await abandonSave(op, qmp); // and when there is none
    assert.equal(await machine.state(op), 'running');
  });

  check('the guest learns of each restore and draws new random numbers', async (harness, template, t) => {
    const beside = join(dirname(testKernel()), 'version');
    const version = await readFile(beside, 'utf8').catch(() => '');
    if (version.startsWith('6.1.')) return t.skip(`the kernel ${version.trim()} has no VMGENID`);
    await using restored = await restoreOne(harness, template);
    await restored.machine.resume(operation());
    await sendCommand(restored.bench.disk, '1 reseeds');
    const [, count] = await restored.console.until(operation(), /reseeds (\d+)\./);
    assert.equal(count, '1');
  });

  check('a VMM that is told to end has crashed, and its log says why', async (harness, template) => {
    await using restored = await restoreOne(harness, template);
    process.kill(restored.machine.ref.pid, 'SIGTERM');
    const exit = await restored.machine.exited;
    assert.equal(exit.reason, 'crashed');
    assert.match(exit.detail, /terminating on signal 15/);
  });

  check(
    'a control socket whose path the kernel cannot hold is refused before anything starts',
    async (harness, template) => {
      await using bench = await makeBench(harness);
      await using room = plainRoom(join(bench.room.directory, 'x'.repeat(108)));
      await assert.rejects(harness.vmm.restore(operation(), restoreSpec(template, bench), room), {
        code: 'failed_precondition',
        hint: /shorter/,
      });
      assert.equal(room.launched.length, 0);
    },
  );

  check(
    'an unprivileged VMM restores from files of root that it may only read, on a read-only mount',
    async (harness, template) => {
      const user = 65534;
      await using folder = await temporaryFolder();
      const build = join(folder.path, 'build');
      const machineFolder = join(folder.path, 'machine');
      await run('mkdir', [build, machineFolder]);
      const files = { memoryFile: join(build, 'memory'), stateFile: join(build, 'state') };
      await copyFile(template.memoryFile, files.memoryFile);
      await copyFile(template.stateFile, files.stateFile);
      for (const path of Object.values(files)) await chmod(path, 0o444);
      const disk = join(machineFolder, 'commands');
      await copyFile(template.disk, disk);
      await run('chown', ['-R', `${user}:${user}`, machineFolder]);

      await using network = await tapNamespace({ owner: user });
      // In a mount namespace of its own: the build read-only, and a tun device that this user may open.
      const enter = `
      mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" &&
      mount -t tmpfs -o mode=755 none /mnt && mknod -m 666 /mnt/tun c 10 200 &&
      mount --bind /mnt/tun /dev/net/tun && exec "$@"`;
      const wrapper = [
        ...['unshare', '--mount', '--', 'sh', '-c', enter, build],
        ...network.wrapper,
        ...['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--no-new-privs'],
        '--bounding-set=-all',
      ];
      await using room = plainRoom(machineFolder, { wrapper });
      await using machine = await harness.vmm.restore(
        operation(),
        {
          ...files,
          hardware: {
            vcpus: 1,
            memoryMib: 256,
            disks: [{ id: 'commands', path: disk, format: 'raw', readOnly: false }],
            network: { tap: TEST_TAP, mac: '06:00:ac:10:00:02' },
          },
        },
        room,
      );
      await machine.resume(operation());
      await new Listener(machine).until(operation(), /tick \d+/);
      const status = await readFile(`/proc/${machine.ref.pid}/status`, 'utf8');
      assert.match(status, new RegExp(`^Uid:\\t${user}\\t${user}\\t${user}\\t${user}$`, 'm'));
      assert.match(status, /^CapEff:\t0+$/m);
      assert.match(status, /^Seccomp:\t2$/m);
      const mounts = await readFile(`/proc/${machine.ref.pid}/mountinfo`, 'utf8');
      assert.match(mounts, new RegExp(` ${build} ro,`));
    },
  );
});

async function open(
  held: AsyncDisposableStack,
): Promise<{ harness: VmmHarness; template: Template } | string> {
  const harness = await makeHarness();
  if (typeof harness === 'string') return harness;
  held.use(harness);
  const bench = held.use(await makeBench(harness));
  const spec = bootSpec(harness, bench);
  await using machine = await harness.vmm.boot(operation(), spec, bench.room);
  const console = new Listener(machine);
  await console.until(operation(), /tick 3\r?\n/);
  await machine.pause(operation());
  const stateFile = join(bench.room.directory, 'state');
  await machine.snapshot(operation(), { stateFile, memoryFile: machine.ref.memoryFile });
  return { harness, template: { memoryFile: spec.memoryFile, stateFile, disk: bench.disk, printed: '' } };
}
