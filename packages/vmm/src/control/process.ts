import { rm } from 'node:fs/promises';
import { killAndWait, type ProcessRef, waitForExit } from '@sandbox-backend/kit';
import type { MachineRef } from '../vmm.ts';

export const processOf = (ref: MachineRef): ProcessRef => ({ pid: ref.pid, startTime: ref.pidStartTime });

/** Ends what is left of a VMM and removes its socket; never rejects. */
export async function endProcess(ref: MachineRef, patienceMs = 0): Promise<void> {
  const process = processOf(ref);
  try {
    await waitForExit(process, { signal: AbortSignal.timeout(patienceMs) });
  } catch {
    await killAndWait(process).catch(() => {});
  }
  await rm(ref.controlSocket, { force: true }).catch(() => {});
}
