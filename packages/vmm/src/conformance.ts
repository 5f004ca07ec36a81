import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, appendFile, copyFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import {
  type Bench,
  bootSpec,
  makeBench,
  operation,
  restoreOne,
  restoreSpec,
  type Template,
} from './testing/bench.ts';
import { Listener, sendCommand } from './testing/guest.ts';
import type { MakeHarness, VmmHarness } from './testing/harness.ts';
import { openFiles } from './testing/open-files.ts';
import type { StartAndDie } from './testing/start-and-die.ts';
import type { Machine, MachineRef } from './vmm.ts';

type Suite = {
  harness: VmmHarness;
  /** Made by the first test that needs it, and the same for all. */
  template(): Promise<Template>;
};

/**
 * What every VMM driver must do. A driver's own test is one call to this. Where the suite cannot run it
 * says so and skips; where nothing runs in a machine, the parts that need a guest are skipped.
 */
export function vmmConformance(name: string, makeHarness: MakeHarness): void {
  describe(`vmm conformance (${name})`, () => {
    const held = new AsyncDisposableStack();
    const suite = makeOnce(() => openSuite(makeHarness, held));
    after(() => held.disposeAsync());
    const notice = makeOnce(async (reason: string) => {
      console.log(`NOT RUN: vmm conformance (${name}): ${reason}`);
    });

    const check = (what: string, body: (suite: Suite, t: TestContext) => Promise<void>) =>
      test(what, async (t) => {
        const opened = await suite();
        if (typeof opened !== 'string') return body(opened, t);
        await notice(opened);
        t.skip(opened);
      });
    const checkGuest = (what: string, body: (suite: Suite, t: TestContext) => Promise<void>) =>
      check(what, async (opened, t) => {
        if (opened.harness.guest) await body(opened, t);
        else t.skip('nothing runs in these machines');
      });

    check(
      'a booted machine runs, pauses, resumes, is saved only when paused, and ends',
      async ({ harness }) => {
        await using bench = await makeBench(harness);
        await using machine = await harness.vmm.boot(operation(), bootSpec(harness, bench), bench.room);
        assert.equal(machine.ref.vmm, harness.vmm.identity.kind);
        assert.deepEqual(JSON.parse(JSON.stringify(machine.ref)), machine.ref);
        if (harness.guest) await new Listener(machine).until(operation(), /guest-started/);
        assert.equal(await machine.state(operation()), 'running');

        const stateFile = join(bench.room.directory, 'state');
        const files = { stateFile, memoryFile: machine.ref.memoryFile };
        await assert.rejects(machine.snapshot(operation(), files), { code: 'failed_precondition' });
        assert.equal(await exists(stateFile), false);

        for (const _ of [1, 2]) {
          await machine.pause(operation());
          assert.equal(await machine.state(operation()), 'paused');
        }
        for (const _ of [1, 2]) {
          await machine.resume(operation());
          assert.equal(await machine.state(operation()), 'running');
        }
        await machine.pause(operation());
        await machine.snapshot(operation(), files);
        assert.ok((await stat(stateFile)).size > 0);
        assert.equal(await machine.state(operation()), 'paused');
        await assertEnds(machine, bench);
      },
    );

    check(
      'a snapshot that cannot be written fails and leaves no file; the machine goes on',
      async ({ harness }) => {
        await using bench = await makeBench(harness);
        await using machine = await harness.vmm.boot(operation(), bootSpec(harness, bench), bench.room);
        await machine.pause(operation());
        const stateFile = join(bench.room.directory, 'no-such-folder', 'state');
        const { memoryFile } = machine.ref;
        await assert.rejects(machine.snapshot(operation(), { stateFile, memoryFile }), SandboxError);
        await machine.resume(operation());
        assert.equal(await machine.state(operation()), 'running');
      },
    );

    check('a restored machine is paused; after resume it goes on where it was saved', async (opened) => {
      const template = await opened.template();
      await using restored = await restoreOne(opened.harness, template);
      const { machine, console } = restored;
      await sleep(300); // in which a running guest would count
      assert.equal(await machine.state(operation()), 'paused');
      if (!opened.harness.guest) return;
      assert.equal(await console.read(operation()), '');
      await machine.resume(operation());
      assert.equal(await machine.state(operation()), 'running');
      await console.until(operation(), /tick \d+\r?\n[\s\S]*tick \d+\r?\n/);
      console.text = template.printed + console.text;
      const ticks = console.ticks();
      assert.deepEqual(
        ticks,
        ticks.map((_, index) => index + 1),
      );
    });

    check('three at once from one snapshot: none can write it, and no two are alike', async (opened) => {
      const template = await opened.template();
      const files = [template.memoryFile, template.stateFile];
      const before = await Promise.all(files.map(sha256));
      await using held = new AsyncDisposableStack();
      const three = await Promise.all(
        [1, 2, 3].map(async () => held.use(await restoreOne(opened.harness, template))),
      );
      for (const { machine } of three) {
        const { modes, maps } = await openFiles(machine.ref.pid, template.memoryFile);
        assert.ok(modes.length + maps.length > 0, 'the memory file is not open');
        assert.deepEqual(new Set(modes), new Set(modes.length > 0 ? ['read'] : []));
        assert.ok(
          maps.every((permissions) => permissions.endsWith('p')),
          `mapped ${maps}`,
        );
        await machine.resume(operation());
      }
      if (opened.harness.guest && opened.harness.vmm.traits.generationId) {
        const bytes = await Promise.all(
          three.map(async ({ bench, console }) => {
            await sendCommand(bench.disk, '1 random');
            return (await console.until(operation(), /random ([0-9a-f]{32})\./))[1];
          }),
        );
        assert.equal(new Set(bytes).size, 3, `the guests drew ${bytes}`);
      }
      for (const { machine } of three) assert.equal(await machine.state(operation()), 'running');
      await held.disposeAsync();
      assert.deepEqual(await Promise.all(files.map(sha256)), before);
    });

    checkGuest('a restored machine can be saved and restored in its turn', async (opened) => {
      const template = await opened.template();
      await using first = await restoreOne(opened.harness, template);
      await first.machine.resume(operation());
      await first.console.until(operation(), /tick \d+\r?\n/);
      await first.machine.pause(operation());
      await first.console.read(operation());
      const stateFile = join(first.bench.room.directory, 'state');
      const memoryFile = join(first.bench.room.directory, 'memory');
      await first.machine.snapshot(operation(), { stateFile, memoryFile });
      const { disk } = first.bench;
      const printed = template.printed + first.console.text;
      await using second = await restoreOne(opened.harness, { disk, stateFile, memoryFile, printed });
      await second.machine.resume(operation());
      await second.console.until(operation(), /tick \d+\r?\n[\s\S]*tick \d+\r?\n/);
      second.console.text = printed + second.console.text;
      const ticks = second.console.ticks();
      assert.deepEqual(
        ticks,
        ticks.map((_, index) => index + 1),
      );
    });

    checkGuest(
      'a snapshot with memory in its state is made into one without, which is as good',
      async (opened, t) => {
        const { harness } = opened;
        if (!harness.vmm.traits.memoryInState)
          return t.skip('no snapshot of this VMM has memory in its state');
        const template = await opened.template();
        await using first = await restoreOne(harness, template);
        await first.machine.resume(operation());
        await first.console.until(operation(), /tick \d+\r?\n/);
        await first.machine.pause(operation());
        await first.console.read(operation());
        const large = join(first.bench.room.directory, 'state');
        const memoryFile = join(first.bench.room.directory, 'memory');
        await first.machine.snapshot(operation(), { stateFile: large, memoryFile });
        const printed = template.printed + first.console.text;

        await using bench = await makeBench(harness);
        const own = {
          stateFile: join(bench.room.directory, 'state'),
          memoryFile: join(bench.room.directory, 'own'),
        };
        await copyFile(memoryFile, own.memoryFile);
        const before = await sha256(memoryFile);
        {
          const spec = {
            hardware: bench.hardware,
            stateFile: large,
            memoryFile: own.memoryFile,
            ownMemory: true,
          };
          await using machine = await harness.vmm.restore(operation(), spec, bench.room);
          await machine.snapshot(operation(), own);
        }
        assert.ok((await stat(own.stateFile)).size < (await stat(large)).size / 4);
        assert.equal(await sha256(memoryFile), before, 'the memory that it came from is as it was');
        await using second = await restoreOne(harness, { disk: first.bench.disk, printed, ...own });
        await second.machine.resume(operation());
        await second.console.until(operation(), /tick \d+\r?\n[\s\S]*tick \d+\r?\n/);
        second.console.text = printed + second.console.text;
        const ticks = second.console.ticks();
        assert.deepEqual(
          ticks,
          ticks.map((_, index) => index + 1),
        );
      },
    );

    check('a killed machine is gone, and so is its socket; killing it again is safe', async (opened) => {
      await using restored = await restoreOne(opened.harness, await opened.template());
      const { machine, bench } = restored;
      await assertEnds(machine, bench);
      assert.equal(await machine.state(operation()), 'exited');
      await assert.rejects(machine.resume(operation()), { code: 'unavailable' });
      await assert.rejects(machine.readConsole(operation()), { code: 'unavailable' });
    });

    check('a machine killed from outside has crashed, and says what its VMM said last', async (opened) => {
      await using restored = await restoreOne(opened.harness, await opened.template());
      const { machine } = restored;
      await machine.resume(operation());
      await appendFile(machine.ref.vmmLog, 'the last words\n');
      process.kill(machine.ref.pid, 'SIGKILL');
      const exit = await machine.exited;
      assert.equal(exit.reason, 'crashed');
      assert.match(exit.detail, /the last words$/);
      assert.deepEqual(await machine.kill(), exit);
      assert.equal(await exists(machine.ref.controlSocket), false);
    });

    checkGuest('a guest that powers off ends its machine', async (opened) => {
      await using restored = await restoreOne(opened.harness, await opened.template());
      const { machine, bench } = restored;
      await machine.resume(operation());
      await sendCommand(bench.disk, '1 poweroff');
      const exit = await machine.exited;
      assert.equal(exit.reason, 'powered_off');
      assert.deepEqual(await machine.kill(), exit);
      assert.equal(await isAlive(processOf(machine.ref)), false);
    });

    checkGuest('a guest that restarts ends its machine', async (opened) => {
      await using restored = await restoreOne(opened.harness, await opened.template());
      await restored.machine.resume(operation());
      await sendCommand(restored.bench.disk, '1 restart');
      assert.equal((await restored.machine.exited).reason, 'powered_off');
    });

    checkGuest('a guest that panics ends its machine', async (opened) => {
      await using restored = await restoreOne(opened.harness, await opened.template());
      await restored.machine.resume(operation());
      await sendCommand(restored.bench.disk, '1 panic');
      assert.notEqual((await restored.machine.exited).reason, 'stopped');
    });

    check('a machine whose server was killed is found again by its ref alone', async (opened) => {
      const { harness } = opened;
      const template = await opened.template();
      await using bench = await makeBench(harness);
      const ref = await startElsewhere({
        module: harness.module,
        directory: bench.room.directory,
        wrapper: bench.wrapper,
        spec: restoreSpec(template, bench),
      });
      await using machine = await harness.vmm.recover(operation(), ref, bench.room);
      assert.ok(machine, 'the machine was not found');
      assert.deepEqual(machine.ref, ref);
      assert.equal(await machine.state(operation()), 'running');
      if (harness.guest) await new Listener(machine).until(operation(), /tick \d+/);
      await assertEnds(machine, bench);
    });

    check('a machine that is gone is not found, nor is a process that has its pid', async (opened) => {
      const { harness } = opened;
      await using restored = await restoreOne(harness, await opened.template());
      const { machine, bench } = restored;
      await machine.kill();
      assert.equal(await harness.vmm.recover(operation(), machine.ref, bench.room), undefined);
      const reused = { ...machine.ref, pid: process.pid };
      assert.equal(await harness.vmm.recover(operation(), reused, bench.room), undefined);
    });

    check('a missing program is a failed precondition with a hint', async ({ harness }, t) => {
      const vmm = harness.faulty('missing');
      if (!vmm) return t.skip('this driver always has a program');
      await using bench = await makeBench(harness);
      await assert.rejects(vmm.boot(operation(), bootSpec(harness, bench), bench.room), (error) => {
        assert.ok(error instanceof SandboxError);
        assert.equal(error.code, 'failed_precondition');
        assert.ok(error.hint);
        return true;
      });
      await assertNothingLeft(bench);
    });

    check('a file that is no program is an error, and nothing is left', async ({ harness }, t) => {
      const vmm = harness.faulty('garbled');
      if (!vmm) return t.skip('this driver always has a program');
      await using bench = await makeBench(harness);
      await assert.rejects(vmm.boot(operation(), bootSpec(harness, bench), bench.room), SandboxError);
      await assertNothingLeft(bench);
    });

    check(
      'a VMM that dies at once is an error with its own log, at boot and at restore',
      async (opened, t) => {
        const { harness } = opened;
        const vmm = harness.faulty('dies');
        if (!vmm) return t.skip('this driver cannot die');
        const template = await opened.template();
        for (const start of [
          (bench: Bench) => vmm.boot(operation(), bootSpec(harness, bench), bench.room),
          (bench: Bench) => vmm.restore(operation(), restoreSpec(template, bench), bench.room),
        ]) {
          await using bench = await makeBench(harness);
          await assert.rejects(start(bench), (error) => {
            assert.ok(error instanceof SandboxError);
            assert.match(error.log ?? '', /cannot open the moon/);
            return true;
          });
          await assertNothingLeft(bench);
        }
      },
    );

    check('a VMM that never becomes ready ends at the deadline, by name', async (opened, t) => {
      const { harness } = opened;
      const vmm = harness.faulty('hangs');
      if (!vmm) return t.skip('this driver cannot hang');
      await using bench = await makeBench(harness);
      const op = operation(300);
      await assert.rejects(vmm.boot(op, bootSpec(harness, bench), bench.room), {
        code: 'deadline_exceeded',
        message: 'conformance ran out of time in vmm connect',
      });
      assert.deepEqual(
        op.phases.map((phase) => [phase.name, phase.error]),
        [
          ['vmm start', undefined],
          ['vmm connect', 'deadline_exceeded'],
        ],
      );
      await assertNothingLeft(bench);

      const controller = new AbortController();
      const canceled = new Operation('conformance', { timeoutMs: 120_000, signal: controller.signal });
      const starting = assert.rejects(vmm.boot(canceled, bootSpec(harness, bench), bench.room), {
        code: 'canceled',
      });
      while (bench.room.launched.length < 2) await sleep(5);
      controller.abort();
      await starting;
      await assertNothingLeft(bench);
    });

    check('a deadline at any moment of a restore leaves a machine or nothing', async (opened) => {
      const { harness } = opened;
      const template = await opened.template();
      for (const timeoutMs of [1, 10, 25, 40, 60, 80, 120, 200]) {
        await using bench = await makeBench(harness);
        try {
          await harness.vmm.restore(operation(timeoutMs), restoreSpec(template, bench), bench.room);
        } catch (caught) {
          const error = SandboxError.from(caught);
          assert.equal(error.code, 'deadline_exceeded');
          assert.match(error.message, /^conformance ran out of time in vmm (start|connect|load)$/);
          await assertNothingLeft(bench);
        }
      }
    });

    checkGuest('a VMM that hangs costs no more than the deadline, and can be killed', async (opened) => {
      await using restored = await restoreOne(opened.harness, await opened.template());
      const { machine, bench } = restored;
      process.kill(machine.ref.pid, 'SIGSTOP');
      const stateFile = join(bench.room.directory, 'state');
      for (const command of [
        (op: Operation) => machine.state(op),
        (op: Operation) => machine.pause(op),
        (op: Operation) => machine.resume(op),
        (op: Operation) => machine.snapshot(op, { stateFile, memoryFile: `${stateFile}.memory` }),
      ]) {
        await assert.rejects(command(operation(50)), { code: 'deadline_exceeded' });
      }
      await assertEnds(machine, bench);
    });

    checkGuest('a console may hold any byte', async (opened) => {
      await using restored = await restoreOne(opened.harness, await opened.template());
      await restored.machine.resume(operation());
      await sendCommand(restored.bench.disk, '1 zero');
      await restored.console.until(operation(), /before\0after/);
    });

    checkGuest(
      'a guest that floods its console fills neither memory nor disk of the host',
      async (opened) => {
        await using restored = await restoreOne(opened.harness, await opened.template());
        const { machine, bench, console } = restored;
        await machine.resume(operation());
        await sendCommand(bench.disk, '1 flood');
        await console.until(operation(), /flood \d+ /);
        const files = [machine.ref.vmmLog, bench.disk];
        const sizes = () => Promise.all(files.map(async (path) => (await stat(path)).size));
        const before = await sizes();

        const numbers = (text: string) => [...text.matchAll(/flood (\d+) -/g)].map(([, n]) => Number(n));
        let last = numbers(console.text).at(-1) ?? 0;
        // Waits longer until more was printed between two reads than a driver may keep: the oldest must be gone.
        for (let waitMs = 500; ; waitMs *= 2) {
          assert.ok(waitMs <= 64_000, 'the guest does not print any more');
          await sleep(waitMs);
          const text = await machine.readConsole(operation());
          assert.ok(text.length <= MAX_CONSOLE, `${text.length} characters at once`);
          const [first = 0, ...rest] = numbers(text);
          if (first > last + 1) break;
          last = rest.at(-1) ?? first;
        }
        // A VMM may say a word of its own; the guest has printed far more than this.
        for (const [index, size] of (await sizes()).entries()) {
          assert.ok(
            size - before[index]! < KEPT_ON_DISK,
            `${files[index]} grew by ${size - before[index]!} bytes`,
          );
        }
        assert.equal(await machine.state(operation()), 'running');
      },
    );
  });
}

/** The most that a driver may keep of a console. */
const MAX_CONSOLE = 1024 * 1024;
/** How much its files may grow by that. */
const KEPT_ON_DISK = 32 * 1024;

async function openSuite(makeHarness: MakeHarness, held: AsyncDisposableStack): Promise<Suite | string> {
  const harness = await makeHarness();
  if (typeof harness === 'string') return harness;
  held.use(harness);
  return { harness, template: makeOnce(() => makeTemplate(harness, held)) };
}

async function makeTemplate(harness: VmmHarness, held: AsyncDisposableStack): Promise<Template> {
  const bench = held.use(await makeBench(harness));
  const spec = bootSpec(harness, bench);
  await using machine = await harness.vmm.boot(operation(), spec, bench.room);
  const console = new Listener(machine);
  if (harness.guest) await console.until(operation(), /tick 3\r?\n/);
  await machine.pause(operation());
  await console.read(operation());
  const stateFile = join(bench.room.directory, 'state');
  await machine.snapshot(operation(), { stateFile, memoryFile: spec.memoryFile });
  return { memoryFile: spec.memoryFile, stateFile, disk: bench.disk, printed: console.text };
}

async function startElsewhere(request: StartAndDie): Promise<MachineRef> {
  const script = join(import.meta.dirname, 'testing', 'start-and-die.ts');
  const child = spawn(process.execPath, [script, JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<string | null>((resolve) => {
    child.once('exit', (_code, signal) => resolve(signal));
  });
  const said = await text(child.stdout);
  assert.equal(await ended, 'SIGKILL', `the other server did not start a machine: ${said}`);
  return JSON.parse(said);
}

/** Kills it, twice: `exited` has one outcome, and neither process nor socket is left. */
async function assertEnds(machine: Machine, bench: Bench): Promise<void> {
  const exits = await Promise.all([machine.kill(), machine.kill(), machine.exited]);
  for (const exit of [...exits, await machine.kill()]) assert.equal(exit.reason, 'stopped');
  assert.equal(await isAlive(processOf(machine.ref)), false);
  assert.equal(await exists(machine.ref.controlSocket), false);
  await assertNothingLeft(bench);
}

async function assertNothingLeft(bench: Bench): Promise<void> {
  for (const process of bench.room.launched) assert.equal(await isAlive(process), false);
  for (const name of ['qmp.sock', 'api.sock', 'fake.sock']) {
    assert.equal(await exists(join(bench.room.directory, name)), false, name);
  }
}

const processOf = (ref: MachineRef) => ({ pid: ref.pid, startTime: ref.pidStartTime });

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

const sha256 = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

/** Runs the function at the first call only; every call has that outcome. */
function makeOnce<A extends unknown[], T>(make: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
  let made: Promise<T> | undefined;
  return (...args) => {
    made ??= make(...args);
    return made;
  };
}
