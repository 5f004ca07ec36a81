import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { isAlive } from '@sandbox-backend/kit';
import { bootSpec, makeBench, operation, restoreSpec } from '../testing/bench.ts';
import { makeHarness } from './harness.ts';
import { type FakeOptions, fakeVmm } from './vmm.ts';

async function bootFake(options: FakeOptions) {
  await using held = new AsyncDisposableStack();
  const harness = await makeHarness();
  if (typeof harness === 'string') throw new Error(harness);
  const bench = held.use(await makeBench(harness));
  const spec = bootSpec(harness, bench);
  const machine = held.use(await fakeVmm(options).boot(operation(), spec, bench.room));
  const owned = held.move();
  return { bench, spec, machine, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('crashAfterMs: it crashes by itself, its process gone', async () => {
  await using booted = await bootFake({ crashAfterMs: 20 });
  assert.equal((await booted.machine.exited).reason, 'crashed');
  const { pid, pidStartTime } = booted.machine.ref;
  assert.equal(await isAlive({ pid, startTime: pidStartTime }), false);
});

test('powerOffAfterMs: it ends as a guest that powers off', async () => {
  await using booted = await bootFake({ powerOffAfterMs: 20 });
  const exit = await booted.machine.exited;
  assert.equal(exit.reason, 'powered_off');
  assert.deepEqual(await booted.machine.kill(), exit);
});

test('snapshotDelayMs: saving takes long, and a deadline leaves no file', async () => {
  await using booted = await bootFake({ snapshotDelayMs: 3_600_000 });
  const { machine, bench } = booted;
  const stateFile = join(bench.room.directory, 'state');
  await machine.pause(operation());
  await assert.rejects(machine.snapshot(operation(50), { stateFile, memoryFile: machine.ref.memoryFile }), {
    code: 'deadline_exceeded',
  });
  await assert.rejects(access(stateFile), { code: 'ENOENT' });
});

test('console: printed once', async () => {
  await using booted = await bootFake({ console: 'login: ' });
  assert.equal(await booted.machine.readConsole(operation()), 'login: ');
  assert.equal(await booted.machine.readConsole(operation()), '');
});

test('failRestore leaves booting alone; a snapshot of something else does not load', async () => {
  await using booted = await bootFake({ failRestore: 'no' });
  const { bench, machine, spec } = booted;
  const stateFile = join(bench.room.directory, 'state');
  await machine.pause(operation());
  await machine.snapshot(operation(), { stateFile, memoryFile: machine.ref.memoryFile });
  const template = { memoryFile: spec.memoryFile, stateFile, disk: bench.disk, printed: '' };
  const failing = fakeVmm({ failRestore: 'no such luck' });
  await assert.rejects(failing.restore(operation(), restoreSpec(template, bench), bench.room), {
    code: 'unavailable',
    log: /no such luck/,
  });
  const wrong = restoreSpec({ ...template, stateFile: spec.memoryFile }, bench);
  await assert.rejects(fakeVmm().restore(operation(), wrong, bench.room), { code: 'internal' });
});
