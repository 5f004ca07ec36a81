import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Operation, race } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { asFields, asText } from '../control/fields.ts';
import type { Qmp } from './qmp.ts';

/** Memory in a shared file stays in it: only device state (some hundred kilobytes) crosses. */
const IGNORE_SHARED = 'x-ignore-shared';
const capabilities = (ignoreShared: boolean) => ({
  capabilities: [{ capability: IGNORE_SHARED, state: ignoreShared }],
});

/** `memoryInFile`: its memory is mapped from a file, shared, and all of it is there already. */
export async function saveState(
  op: Operation,
  qmp: Qmp,
  path: string,
  { memoryInFile }: { memoryInFile: boolean },
): Promise<void> {
  await qmp.execute(op, 'migrate-set-capabilities', capabilities(memoryInFile));
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

const UNDER_WAY = ['setup', 'active', 'pre-switchover', 'device', 'cancelling'];

/** Ends what a server began that was killed meanwhile: at its end QEMU would stop the guest, and nobody would let it go on. */
export async function abandonSave(op: Operation, qmp: Qmp): Promise<void> {
  await qmp.execute(op, 'migrate_cancel');
  while (UNDER_WAY.includes(asText(asFields(await qmp.execute(op, 'query-migrate')).status))) {
    await race(op, 'abandon the snapshot', sleep(10));
  }
}

export async function loadState(
  op: Operation,
  qmp: Qmp,
  path: string,
  inside: (path: string) => string,
): Promise<void> {
  await qmp.execute(op, 'migrate-set-capabilities', capabilities(await isWithoutMemory(path)));
  await qmp.execute(op, 'migrate-incoming', toFile(inside(path)));
  await migrated(op, qmp, 'load the snapshot');
}

/** How it was saved is in the head of the file, as the name of the capability; QEMU loads it with the same only. */
async function isWithoutMemory(path: string): Promise<boolean> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1024), 0, 1024, 0);
  return buffer.subarray(0, bytesRead).includes(IGNORE_SHARED);
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
