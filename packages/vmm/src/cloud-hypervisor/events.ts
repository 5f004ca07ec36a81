import { logTail } from '../log-tail.ts';
import type { MachineExit } from '../vmm.ts';

/** Far more than its few events; the file is the VMM's. */
const MOST_BYTES = 1024 * 1024;

/** Why a Cloud Hypervisor that nobody stopped has ended, from the events that it wrote. */
export async function explainExit(eventFile: string, log: string): Promise<MachineExit> {
  const events = await logTail(eventFile, MOST_BYTES);
  if (/"rebooting"/.test(events)) {
    return { reason: 'powered_off', detail: 'the guest restarted, by request or after a panic' };
  }
  if (/"shutdown"/.test(events)) return { reason: 'powered_off', detail: 'the guest powered off' };
  return { reason: 'crashed', detail: log };
}
