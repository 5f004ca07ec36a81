import { killAndWait, log } from '@sandbox-backend/kit';
import type { SlotRef } from '../host.ts';
import { isHeld, readClaims, releaseClaim, takeOverSlot } from './claim.ts';
import { occupants } from './occupants.ts';
import { destroySlot } from './slot.ts';

/**
 * Frees what dead processes left: their slots with namespace, links and rules. `keep` names the slots
 * of machines that live on; a process still running in any other is ended. Without `keep` (a process
 * that does not know the machines) a slot with a process in it is left for one that does.
 * Call it with the lock held: two that reap at once could free what the other just made.
 */
export async function reapSlots(
  stateDir: string,
  namePrefix: string,
  keep: readonly SlotRef[] | undefined,
): Promise<void> {
  const kept = new Set(keep?.map((ref) => ref.index));
  for (const [index, claim] of await readClaims(stateDir)) {
    if (await isHeld(claim)) continue;
    const namespace = `${namePrefix}-${index}`;
    if (claim && claim.ref?.namespace !== namespace) continue; // made with another prefix: not ours to judge
    if (claim && kept.has(index)) {
      await takeOverSlot(stateDir, claim.ref);
      continue;
    }
    const inside = await occupants(namespace);
    if (inside.length > 0 && keep === undefined) continue;
    await Promise.all(inside.map((process) => killAndWait(process)));
    await destroySlot(namespace);
    await releaseClaim(stateDir, index);
    log('info', 'slot.reap', { slot: namespace, processes: inside.length });
  }
}
