import { readFile } from 'node:fs/promises';
import type { MachineExit } from '../vmm.ts';

/** Why a Cloud Hypervisor that nobody stopped has ended, from the events that it wrote. */
export async function explainExit(eventFile: string, log: string): Promise<MachineExit> {
  const events = await readFile(eventFile, 'utf8').catch(() => '');
  if (/"rebooting"/.test(events)) {
    return { reason: 'powered_off', detail: 'the guest restarted, by request or after a panic' };
  }
  if (/"shutdown"/.test(events)) return { reason: 'powered_off', detail: 'the guest powered off' };
  return { reason: 'crashed', detail: log };
}
