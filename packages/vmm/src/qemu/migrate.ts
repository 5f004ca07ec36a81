import { setTimeout as sleep } from 'node:timers/promises';
import { Operation, race } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { asFields, asText } from '../control/fields.ts';
import type { Qmp } from './qmp.ts';

/** Memory in a shared file stays in it: only device state (some hundred kilobytes) crosses. */
const CAPABILITIES = { capabilities: [{ capability: 'x-ignore-shared', state: true }] };

export async function saveState(op: Operation, qmp: Qmp, path: string): Promise<void> {
  await qmp.execute(op, 'migrate-set-capabilities', CAPABILITIES);
  try {
    await qmp.execute(op, 'migrate', toFile(path));
    await migrated(op, qmp, 'save the machine');
  } catch (caught) {
    // Otherwise QEMU would go on writing a file that nobody wants.
    const cancel = new Operation('cancel the snapshot', { timeoutMs: 1000 });
    await qmp.execute(cancel, 'migrate_cancel').catch(() => {});
    throw caught;
  }
}

export async function loadState(op: Operation, qmp: Qmp, path: string): Promise<void> {
  await qmp.execute(op, 'migrate-set-capabilities', CAPABILITIES);
  await qmp.execute(op, 'migrate-incoming', toFile(path));
  await migrated(op, qmp, 'load the snapshot');
}

/** As an object: in the `file:` form a path could carry an offset. */
const toFile = (filename: string) => ({
  channels: [{ 'channel-type': 'main', addr: { transport: 'file', filename, offset: 0 } }],
});

async function migrated(op: Operation, qmp: Qmp, what: string): Promise<void> {
  for (let delayMs = 1; ; delayMs = Math.min(delayMs * 2, 20)) {
    const info = asFields(await qmp.execute(op, 'query-migrate'));
    if (info.status === 'completed') return;
    if (info.status === 'failed' || info.status === 'cancelled') {
      const reason = asText(info['error-desc']) || info.status;
      throw new SandboxError('internal', `QEMU could not ${what}: ${reason}`);
    }
    await race(op, what, sleep(delayMs));
  }
}
