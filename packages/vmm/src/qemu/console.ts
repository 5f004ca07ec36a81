import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Qmp } from './qmp.ts';

/** What the guest printed and nobody read; the oldest is overwritten. A power of two, as QEMU wants it. */
export const CONSOLE_BYTES = 64 * 1024;

/** What the guest printed since the last call. In base64: as text QEMU would cut it at the first zero byte. */
export async function readConsoleBytes(op: Operation, qmp: Qmp): Promise<Buffer> {
  const request = { device: 'console', size: CONSOLE_BYTES, format: 'base64' };
  const data = await qmp.execute(op, 'ringbuf-read', request);
  if (typeof data !== 'string') throw new SandboxError('internal', 'QEMU sent a console that is no text');
  return Buffer.from(data, 'base64').subarray(0, CONSOLE_BYTES);
}
