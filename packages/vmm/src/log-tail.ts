import { SandboxError } from '@sandbox-backend/protocol';
import { openOwn } from './open-own.ts';

/** The end of the VMM's own log, for an error that explains itself; empty when there is none. */
export async function logTail(path: string, bytes = 4000): Promise<string> {
  try {
    await using file = await openOwn(path);
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(bytes),
      position: Math.max(0, size - bytes),
    });
    return buffer.toString('utf8', 0, bytesRead).trim();
  } catch {
    return '';
  }
}

/** The same error with the VMM's log added, where it has none yet. */
export async function withLog(caught: unknown, vmmLog: string): Promise<SandboxError> {
  const error = SandboxError.from(caught);
  const log = error.log ?? (await logTail(vmmLog));
  if (!log) return error;
  return new SandboxError(error.code, error.message, {
    cause: caught,
    log,
    ...(error.hint ? { hint: error.hint } : {}),
  });
}
