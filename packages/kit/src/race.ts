import { SandboxError } from '@sandbox-backend/protocol';
import type { Operation } from './operation.ts';

type Ending = Pick<Operation, 'name' | 'signal'>;

/**
 * Waits for the promise, but no longer than the operation lasts. What loses is left to itself, and its
 * rejection is not unhandled. `what` names the step in the error.
 * Errors: `deadline_exceeded` or `canceled` when the operation ends first.
 */
export async function race<T>(op: Ending, what: string, promise: Promise<T>): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const end = () => ended.reject(endError(op, what, op.signal.reason));
  op.signal.addEventListener('abort', end, { once: true });
  if (op.signal.aborted) end();
  try {
    return await Promise.race([ended.promise, promise]);
  } catch (caught) {
    // The step may have failed because the operation ended.
    throw op.signal.aborted ? endError(op, what, caught) : caught;
  } finally {
    op.signal.removeEventListener('abort', end);
  }
}

function endError(op: Ending, what: string, cause: unknown): SandboxError {
  if (cause instanceof SandboxError && cause.cause === op.signal.reason) return cause;
  return op.signal.reason?.name === 'TimeoutError'
    ? new SandboxError('deadline_exceeded', `${op.name} ran out of time in ${what}`, { cause })
    : new SandboxError('canceled', `${op.name} was canceled in ${what}`, { cause });
}
