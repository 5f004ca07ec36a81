import { setTimeout as sleep } from 'node:timers/promises';
import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Qmp } from './qmp.ts';

/** Memory stays in its file: only device state (some hundred kilobytes) crosses. */
const CAPABILITIES = { capabilities: [{ capability: 'x-ignore-shared', state: true }] };

export async function saveState(op: Operation, qmp: Qmp, path: string): Promise<void> {
  await qmp.execute('migrate-set-capabilities', CAPABILITIES);
  await qmp.execute('migrate', { uri: `file:${path}` });
  await migrated(op, qmp, 'save the machine');
}

export async function loadState(op: Operation, qmp: Qmp, path: string): Promise<void> {
  await qmp.execute('migrate-set-capabilities', CAPABILITIES);
  await qmp.execute('migrate-incoming', { uri: `file:${path}` });
  await migrated(op, qmp, 'load the snapshot');
}

async function migrated(op: Operation, qmp: Qmp, what: string): Promise<void> {
  for (let delayMs = 1; ; delayMs = Math.min(delayMs * 2, 20)) {
    const info = await qmp.execute<{ status?: string; 'error-desc'?: string }>('query-migrate');
    if (info.status === 'completed') return;
    if (info.status === 'failed' || info.status === 'cancelled') {
      throw new SandboxError('internal', `QEMU could not ${what}: ${info['error-desc'] ?? info.status}`);
    }
    op.signal.throwIfAborted();
    await sleep(delayMs);
  }
}
