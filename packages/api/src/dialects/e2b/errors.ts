import { log } from '@sandbox-backend/kit';
import { type ErrorCode, SandboxError, type SandboxErrorOptions } from '@sandbox-backend/protocol';

/** A refusal that HTTP has a status for and the closed list has not: 405, 413, 415. */
export class HttpError extends SandboxError {
  private readonly status: number;

  constructor(status: number, code: ErrorCode, message: string, options: SandboxErrorOptions = {}) {
    super(code, message, options);
    this.status = status;
  }

  override get httpStatus(): number {
    return this.status;
  }
}

export type ErrorBody = { code: number; message: string; error_code: ErrorCode };

/**
 * What a client is told: never a stack, never the text of an error that is not ours, never a log.
 * The hint follows on a second line. Clients read `code` from the body, not the status.
 */
export function errorBody(caught: unknown): ErrorBody {
  const error = SandboxError.from(caught);
  const ours = caught instanceof SandboxError;
  const message = ours ? error.message : 'The server failed to handle the request';
  const hint = ours ? error.hint : 'Its log says why.';
  return { code: error.httpStatus, message: hint ? `${message}\n${hint}` : message, error_code: error.code };
}

/** The operator is told everything about a failure that is not the client's. */
export function logFailure(caught: unknown, request: { method: string; path: string }): void {
  const error = SandboxError.from(caught);
  if (error.httpStatus < 500 || error.code === 'unimplemented') return;
  const stack =
    caught instanceof SandboxError ? undefined : error.cause instanceof Error && error.cause.stack;
  log('error', 'api.request', { ...request, error: error.describe(), ...(stack && { stack }) });
}
