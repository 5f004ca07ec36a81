import { mkdir, rm } from 'node:fs/promises';
import type { HostRoom, Slot } from '@sandbox-backend/host';
import { isAlive, Operation } from '@sandbox-backend/kit';
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
  const taken = await takeOver(op, deps, record, held);
  if (!taken) return undefined;
  const { slot, room } = taken;
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

/**
 * Puts on the stack what frees all that the machine held; when that fails, nothing of it is touched: it may live.
 * Undefined when the machine is gone and its slot is not its own any more, and then its folder is gone, too.
 */
async function takeOver(
  op: Operation,
  deps: MachineDeps,
  record: MachineRecord,
  held: AsyncDisposableStack,
): Promise<{ slot: Slot; room: HostRoom } | undefined> {
  const directory = machineDirectory(deps.dataRoot, record.machineId);
  const remove = () => rm(directory, { recursive: true, force: true });
  const slot = await adoptSlot();
  if (!slot) return undefined;
  // Opened even when the VMM is unknown or its folder gone: disposing of the room ends whatever still runs in it.
  await mkdir(record.room.directory, { recursive: true, mode: 0o700 });
  const room = await deps.openRoom(op, record.room);
  held.defer(remove);
  held.use(slot);
  held.use(room);
  return { slot, room };

  async function adoptSlot(): Promise<Slot | undefined> {
    try {
      return await deps.slots.adopt(record.room.slot);
    } catch (caught) {
      const { machine } = record;
      if (machine && (await isAlive({ pid: machine.pid, startTime: machine.pidStartTime }))) throw caught;
      await remove();
      return undefined;
    }
  }
}
