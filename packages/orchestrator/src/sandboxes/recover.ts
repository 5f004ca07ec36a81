import { rm } from 'node:fs/promises';
import { log, mutex, type Operation } from '@sandbox-backend/kit';
import {
  type HeldMachine,
  isOwnedByOther,
  type MachineDeps,
  machineDirectory,
  paths,
  readBuild,
  readRecords,
  recoverMachine,
  writeRecord,
} from '@sandbox-backend/machines';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Resident, Residents } from '../resident.ts';
import { describe } from './start.ts';

/**
 * After a restart of the server: finds every machine that an earlier run left, keeps those that are
 * sandboxes and still run, and frees all others, half-started and warm ones among them.
 */
export async function recoverSandboxes(op: Operation, deps: MachineDeps): Promise<Residents> {
  const residents: Residents = new Map();
  for (const { machineId, record } of await readRecords(deps.dataRoot)) {
    if (!record) {
      await rm(machineDirectory(deps.dataRoot, machineId), { recursive: true, force: true });
      continue;
    }
    if (await isOwnedByOther(record)) continue; // a template is being built
    try {
      const resident = await recoverOne(op, deps, record);
      if (resident) residents.set(resident.info.sandboxId, resident);
    } catch (caught) {
      const error = SandboxError.from(caught);
      log('warn', 'sandbox.recover', { machineId, code: error.code, message: error.message });
    }
  }
  return residents;
}

async function recoverOne(
  op: Operation,
  deps: MachineDeps,
  record: Parameters<typeof recoverMachine>[2],
): Promise<Resident | undefined> {
  const { owner } = record;
  const held = await recoverMachine(op, deps, record);
  if (!held) return undefined;
  try {
    return await welcome(op, deps, held);
  } catch (caught) {
    // It lives and is of no use here: as an orphan it can be seen and purged.
    record.owner = owner;
    await writeRecord(deps.dataRoot, record);
    throw caught;
  }
}

async function welcome(op: Operation, deps: MachineDeps, held: HeldMachine): Promise<Resident | undefined> {
  const { record } = held;
  if (!record.sandbox) {
    await held[Symbol.asyncDispose]();
    return undefined;
  }
  const { manifest } = await readBuild(paths.build(deps.dataRoot, record.template, record.buildId));
  // A server that died between pausing and resuming a claimed machine left it paused.
  if ((await held.machine.state(op)) === 'paused') await held.machine.resume(op);
  return { held, manifest, info: describe(held, manifest, record.sandbox), alone: mutex() };
}
