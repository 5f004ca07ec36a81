import { SandboxError } from '@sandbox-backend/protocol';

export type Phase = { name: string; ms: number; error?: string };

/**
 * One unit of work that takes time: an API call, a build, a reconcile pass.
 *
 * It carries what every step of that work needs and nothing else: when to give up (`signal`), and
 * where the time went (`phases`). It is the first argument of every function that waits.
 */
export class Operation {
  readonly name: string;
  readonly signal: AbortSignal;
  readonly phases: Phase[] = [];
  readonly startedAt = performance.now();
  private readonly onPhase: ((phase: Phase) => void) | undefined;

  constructor(
    name: string,
    options: { timeoutMs: number; signal?: AbortSignal; onPhase?: (phase: Phase) => void },
  ) {
    this.name = name;
    this.onPhase = options.onPhase;
    const deadline = AbortSignal.timeout(options.timeoutMs);
    this.signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  }

  get elapsedMs(): number {
    return performance.now() - this.startedAt;
  }

  /** Runs one named step; its duration ends up in the operation's log line and the `Server-Timing` header. */
  async phase<T>(name: string, step: () => Promise<T> | T): Promise<T> {
    const start = performance.now();
    const record = (error?: string) => {
      const phase: Phase = { name, ms: performance.now() - start, ...(error ? { error } : {}) };
      this.phases.push(phase);
      this.onPhase?.(phase);
    };
    try {
      this.signal.throwIfAborted();
      const result = await step();
      record();
      return result;
    } catch (caught) {
      const error = this.signal.aborted ? this.abortError(name, caught) : SandboxError.from(caught);
      record(error.code);
      throw error;
    }
  }

  /** The error to report when the operation's own signal ended it; a VMM's log in `caught` is kept. */
  private abortError(phase: string, caught: unknown): SandboxError {
    const log = caught instanceof SandboxError ? caught.log : undefined;
    const options = { cause: caught, ...(log ? { log } : {}) };
    return this.signal.reason?.name === 'TimeoutError'
      ? new SandboxError('deadline_exceeded', `${this.name} ran out of time in ${phase}`, options)
      : new SandboxError('canceled', `${this.name} was canceled in ${phase}`, options);
  }
}
