import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { MachineExit } from '../vmm.ts';

/** Calls back when the VMM has begun to restart its guest, at most once. Disposing of it ends the watch. */
export function onReboot(eventFile: string, callback: () => void): Disposable {
  let done = false;
  const look = async () => {
    const text = await readFile(eventFile, 'utf8').catch(() => '');
    if (done || !/"rebooting"/.test(text)) return;
    done = true;
    callback();
  };
  const watcher = watch(eventFile, () => void look());
  watcher.on('error', () => {});
  void look();
  return { [Symbol.dispose]: () => watcher.close() };
}

/** Why a Cloud Hypervisor that nobody stopped has ended, from the events that it wrote. */
export async function explainExit(eventFile: string, log: string): Promise<MachineExit> {
  const events = await readFile(eventFile, 'utf8').catch(() => '');
  if (/"rebooting"/.test(events)) {
    return { reason: 'powered_off', detail: 'the guest restarted, by request or after a panic' };
  }
  if (/"shutdown"/.test(events)) return { reason: 'powered_off', detail: 'the guest powered off' };
  return { reason: 'crashed', detail: log };
}
