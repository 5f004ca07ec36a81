/**
 * The closed list of ways an operation can fail, as every client sees it.
 * HTTP status, CLI exit code and gRPC status derive from the code, here and nowhere else.
 */
export const ERROR_CODES = {
  invalid_argument: { http: 400, exit: 2, grpc: 3 },
  unauthenticated: { http: 401, exit: 3, grpc: 16 },
  permission_denied: { http: 403, exit: 3, grpc: 7 },
  not_found: { http: 404, exit: 4, grpc: 5 },
  already_exists: { http: 409, exit: 5, grpc: 6 },
  failed_precondition: { http: 409, exit: 5, grpc: 9 },
  resource_exhausted: { http: 429, exit: 6, grpc: 8 },
  no_space: { http: 507, exit: 6, grpc: 8 },
  canceled: { http: 499, exit: 130, grpc: 1 },
  internal: { http: 500, exit: 1, grpc: 13 },
  unimplemented: { http: 501, exit: 1, grpc: 12 },
  unavailable: { http: 503, exit: 7, grpc: 14 },
  deadline_exceeded: { http: 504, exit: 8, grpc: 4 },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export type SandboxErrorOptions = {
  /** What the reader can do about it, as one sentence. */
  hint?: string;
  /** The end of a program's own log, when that explains the failure. */
  log?: string;
  cause?: unknown;
};

/** A failure with a code from the closed list: what happened to what (`message`), and what to do (`hint`). */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly log: string | undefined;

  constructor(code: ErrorCode, message: string, options: SandboxErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.log = options.log;
  }

  get httpStatus(): number {
    return ERROR_CODES[this.code].http;
  }

  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }

  get grpcStatus(): number {
    return ERROR_CODES[this.code].grpc;
  }

  /** Message, hint and log as one text for a person. */
  describe(): string {
    const log = this.log?.trim();
    return [this.message, this.hint && `hint: ${this.hint}`, log && `log:\n${indent(log)}`]
      .filter(Boolean)
      .join('\n');
  }

  /** Turns anything caught into a SandboxError; the original stays as `cause` for the log and is never sent. */
  static from(caught: unknown): SandboxError {
    if (caught instanceof SandboxError) return caught;
    const message = caught instanceof Error ? caught.message : String(caught);
    const errno = (caught as NodeJS.ErrnoException | undefined)?.code;
    if (errno === 'ENOSPC') {
      return new SandboxError('no_space', message, { cause: caught, hint: 'Free disk space and try again.' });
    }
    return new SandboxError('internal', message, { cause: caught });
  }
}

const indent = (text: string) => text.replace(/^/gm, '  ');
