import { SandboxError } from '@sandbox-backend/protocol';
import type { Operation } from './operation.ts';

/**
 * Waits for the promise, but no longer than the operation lasts. What loses is left to itself, and its
 * rejection is not unhandled. `what` names the step in the error.
 * Errors: `deadline_exceeded` or `canceled` when the operation ends first.
 */
export async function race<T>(
  op: Pick<Operation, 'name' | 'signal'>,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const end = () => {
    const timedOut = op.signal.reason?.name === 'TimeoutError';
    const how = timedOut ? 'ran out of time' : 'was canceled';
    ended.reject(
      new SandboxError(timedOut ? 'deadline_exceeded' : 'canceled', `${op.name} ${how} in ${what}`, {
        cause: op.signal.reason,
      }),
    );
  };
  op.signal.addEventListener('abort', end, { once: true });
  if (op.signal.aborted) end();
  try {
    return await Promise.race([ended.promise, promise]);
  } finally {
    op.signal.removeEventListener('abort', end);
  }
}
