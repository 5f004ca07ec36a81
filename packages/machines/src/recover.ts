import { mkdir, rm } from 'node:fs/promises';
import type { HostRoom, Slot } from '@sandbox-backend/host';
import { Operation } from '@sandbox-backend/kit';
import { type MachineRecord, machineDirectory, thisProcess, writeRecord } from './ref.ts';
import type { HeldMachine, MachineDeps } from './restore.ts';

/**
 * Finds the machine of a record again after a restart of the server; undefined when it is gone, and
 * then all that it held has been freed.
 */
export async function recoverMachine(
  op: Operation,
  deps: MachineDeps,
  record: MachineRecord,
): Promise<HeldMachine | undefined> {
  await using held = new AsyncDisposableStack();
  const { slot, room } = await takeOver(op, deps, record, held);
  const machine = await findMachine();
  if (!machine) return undefined;
  held.use(machine);
  record.owner = await thisProcess();
  await writeRecord(deps.dataRoot, record);
  const owned = held.move();
  return { record, machine, room, slot, [Symbol.asyncDispose]: () => owned.disposeAsync() };

  async function findMachine() {
    // A build's or a warm machine is nobody's any more.
    if (!record.sandbox || !record.machine) return undefined;
    const patience = new Operation('find a machine again', { timeoutMs: 10_000, signal: op.signal });
    try {
      return await deps.vmms.find(record.machine.vmm).recover(patience, record.machine, room);
    } catch (caught) {
      held.move(); // it may live and only not answer now: a sandbox is never ended for that
      throw caught;
    }
  }
}

/** Ends what is left of a machine that nobody looks after, and frees all that it held. */
export async function discardMachine(op: Operation, deps: MachineDeps, record: MachineRecord): Promise<void> {
  await using held = new AsyncDisposableStack();
  await takeOver(op, deps, record, held);
}

async function takeOver(
  op: Operation,
  deps: MachineDeps,
  record: MachineRecord,
  held: AsyncDisposableStack,
): Promise<{ slot: Slot; room: HostRoom }> {
  const directory = machineDirectory(deps.dataRoot, record.machineId);
  held.defer(() => rm(directory, { recursive: true, force: true }));
  const slot = held.use(await deps.slots.adopt(record.room.slot));
  // Opened even when the VMM is unknown or its folder gone: disposing of the room ends whatever still runs in it.
  await mkdir(record.room.directory, { recursive: true, mode: 0o700 });
  return { slot, room: held.use(await deps.openRoom(op, record.room)) };
}
