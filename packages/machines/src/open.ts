import { openRoom, openSlotPool } from '@sandbox-backend/host';
import type { Operation } from '@sandbox-backend/kit';
import { paths } from './builds/paths.ts';
import type { HostConfig } from './config.ts';
import { isOwnedByOther, readRecords } from './ref.ts';
import type { MachineDeps } from './restore.ts';
import { openVmms } from './vmms.ts';

/**
 * Makes this host ready to hold machines: finds its VMMs and opens the network slots.
 * Only the server (`recover: true`) knows which machines an earlier run left, and frees the slots of all others.
 */
export async function openHost(
  op: Operation,
  config: HostConfig,
  options: { spareSlots: number; recover: boolean },
): Promise<MachineDeps & AsyncDisposable> {
  const vmms = await openVmms(op, config);
  const slots = await op.phase('slots', async () =>
    openSlotPool(op, {
      stateDir: paths.slots(config.dataRoot),
      subnet: config.subnet,
      namePrefix: config.networkPrefix,
      uidBase: config.uidBase,
      spare: options.spareSlots,
      bytesPerSecond: config.networkBytesPerSecond,
      ...(options.recover ? { keep: await keptSlots(config.dataRoot) } : {}),
    }),
  );
  return {
    dataRoot: config.dataRoot,
    vmms,
    slots,
    diskBytesPerSecond: config.diskBytesPerSecond,
    openRoom: (step, spec) => openRoom(step, { ...spec, kvm: vmms.accelerator.accelerator === 'kvm' }),
    [Symbol.asyncDispose]: () => slots[Symbol.asyncDispose](),
  };
}

/** Slots of all machines on record: each is adopted or freed by the recovery that follows. */
async function keptSlots(dataRoot: string) {
  const records = (await readRecords(dataRoot)).flatMap(({ record }) => record ?? []);
  const mine = await Promise.all(records.map(async (record) => !(await isOwnedByOther(record))));
  return records.filter((_, index) => mine[index]).map((record) => record.room.slot);
}
