import type { Operation } from '@sandbox-backend/kit';
import { type HeldMachine, type MachineDeps, runInGuest } from '@sandbox-backend/machines';
import type { Deactivation } from '@sandbox-backend/protocol';
import type { Resident } from '../resident.ts';

/**
 * Gives the memory of an idle sandbox back to the host. Where the VMM reports what its guest frees, the guest drops
 * its caches first; then the host takes all pages of the VMM that it can get again. The sandbox runs on, and is
 * slower for a moment when it is used next.
 */
export async function deactivateSandbox(
  op: Operation,
  deps: Pick<MachineDeps, 'vmms'>,
  { held, info, manifest }: Resident,
): Promise<Deactivation> {
  const startedAt = performance.now();
  const before = await held.room.stats();
  if (deps.vmms.find(manifest.vmm.kind).traits.reportsFreePages) {
    await op.phase('drop caches', () => dropCaches(op, held.machine, info));
  }
  await op.phase('reclaim', () => held.room.reclaim());
  const after = await held.room.stats();
  return {
    beforeBytes: before.memoryBytes,
    afterBytes: after.memoryBytes,
    durationMs: Math.round(performance.now() - startedAt),
  };
}

/** A guest that does not do it keeps its caches: no more is lost. */
async function dropCaches(
  op: Operation,
  machine: HeldMachine['machine'],
  { address, accessToken }: Resident['info'],
): Promise<void> {
  const script = 'sync; echo 3 > /proc/sys/vm/drop_caches';
  const command = { cmd: '/.envd/bin/busybox', args: ['sh', '-c', script], user: 'root' };
  const dropped = runInGuest(op, address, command, accessToken).catch(() => undefined);
  await Promise.race([dropped, machine.exited]);
  op.signal.throwIfAborted();
}
