import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { discardMachine, recoverMachine } from './recover.ts';
import { type MachineRecord, machineDirectory, thisProcess, writeRecord } from './ref.ts';
import type { MachineDeps } from './restore.ts';

const operation = () => new Operation('test', { timeoutMs: 10_000 });

/** The record of a machine whose slot or room cannot be had. */
async function setUp(machine: { pid: number; startTime: string }, refuse: 'slot' | 'room') {
  const dataRoot = await mkdtemp(join(tmpdir(), 'recover-'));
  const freed: string[] = [];
  const refusal = new SandboxError('failed_precondition', 'refused');
  const slot = { [Symbol.asyncDispose]: async () => void freed.push('slot') };
  const deps = {
    dataRoot,
    slots: { adopt: async () => (refuse === 'slot' ? Promise.reject(refusal) : slot) },
    openRoom: () => Promise.reject(refusal),
  } as unknown as MachineDeps;
  const record = {
    schema: 1,
    machineId: 'm1',
    owner: { pid: 1, startTime: '0' },
    room: { directory: join(machineDirectory(dataRoot, 'm1'), 'room'), slot: {} },
    machine: { pid: machine.pid, pidStartTime: machine.startTime },
    sandbox: { sandboxId: 'i1', startedAt: '' },
  } as unknown as MachineRecord;
  await mkdir(machineDirectory(dataRoot, 'm1'), { recursive: true });
  await writeRecord(dataRoot, record);
  const folders = () => readdir(join(dataRoot, 'machines'));
  const dispose = () => rm(dataRoot, { recursive: true });
  return { deps, record, freed, folders, [Symbol.asyncDispose]: dispose };
}

test('a machine that lives keeps disk, record and slot when it cannot be taken over', async () => {
  for (const refuse of ['slot', 'room'] as const) {
    await using set = await setUp(await thisProcess(), refuse);
    for (const take of [recoverMachine, discardMachine]) {
      await assert.rejects(take(operation(), set.deps, set.record), { code: 'failed_precondition' });
      assert.deepEqual(await set.folders(), ['m1']);
    }
    assert.deepEqual(set.freed, []);
  }
});

test('of a dead machine whose slot another has, only the folder goes', async () => {
  for (const take of [recoverMachine, discardMachine]) {
    await using set = await setUp({ pid: process.pid, startTime: '0' }, 'slot');
    assert.equal(await take(operation(), set.deps, set.record), undefined);
    assert.deepEqual(await set.folders(), []);
  }
});
