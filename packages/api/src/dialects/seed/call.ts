import type { ServerUnaryCall, StatusObject, sendUnaryData } from '@grpc/grpc-js';
import { log, Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';

export type RawHandler = (call: ServerUnaryCall<Buffer, unknown>, answer: sendUnaryData<unknown>) => void;

/** Resolves when the call has been answered and nothing of it goes on; never rejects. */
export type Track = (call: Promise<void>) => void;

/** Bytes of the text of an error, which travels in a header, of which clients take 8 KiB. */
const LONGEST_DETAILS = 6000;

/** A method of a service: takes its message and gives the answer's. */
export type Verb = (op: Operation, request: never) => unknown;

/**
 * A method of a gRPC service from a verb: decodes the request, gives the verb an operation that ends with the
 * client's deadline, its cancellation or after `timeoutMs`, and answers with its result or the status of its error.
 */
export function unary(
  method: { path: string; decode(bytes: Uint8Array): unknown; timeoutMs: number },
  track: Track,
  verb: Verb,
): RawHandler {
  return (call, answer) => {
    const abort = new AbortController();
    call.on('cancelled', () => abort.abort());
    const remaining = Number(call.getDeadline()) - Date.now();
    const op = new Operation(method.path, {
      timeoutMs: Math.max(1, Math.min(remaining, method.timeoutMs)),
      signal: abort.signal,
    });
    const respond = async () => verb(op, decode(method.decode, call.request) as never);
    track(
      respond().then(
        (message) => answer(null, message),
        (caught: unknown) => answer(statusOf(caught, method.path)),
      ),
    );
  };
}

function decode(read: (bytes: Uint8Array) => unknown, bytes: Buffer): unknown {
  try {
    // Not as a Buffer: of such the library takes a string that is cut short for a whole one.
    return read(new Uint8Array(bytes));
  } catch (cause) {
    throw new SandboxError('invalid_argument', 'The request is not a message of this method', { cause });
  }
}

/** What a client is told: never a stack, a log, or the text of an error that is not ours. */
function statusOf(caught: unknown, path: string): Pick<StatusObject, 'code' | 'details'> {
  const error = SandboxError.from(caught);
  const isOurs = caught instanceof SandboxError;
  if (error.httpStatus >= 500 && error.code !== 'unimplemented') {
    const stack = !isOurs && error.cause instanceof Error ? error.cause.stack : undefined;
    log('error', 'seed.control', { path, error: error.describe(), ...(stack && { stack }) });
  }
  const told = isOurs
    ? new SandboxError(error.code, error.message, error.hint ? { hint: error.hint } : {})
    : new SandboxError(error.code, 'The server failed to handle the request', { hint: 'Its log says why.' });
  return { code: error.grpcStatus, details: headerText(told.describe()) };
}

/** As much of the text as fits; the library fails for good on half a surrogate pair. */
function headerText(text: string): string {
  let kept = text.slice(0, LONGEST_DETAILS).toWellFormed();
  while (encodeURI(kept).length > LONGEST_DETAILS) kept = kept.slice(0, kept.length / 2).toWellFormed();
  return kept;
}
