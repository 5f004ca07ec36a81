import { type ErrorCode, SandboxError } from '@sandbox-backend/protocol';
import { log } from './log.ts';

/** `startedAt` is on the clock of `performance.now()`. */
export type Phase = { name: string; startedAt: number; ms: number; error?: string };

/** How a whole piece of work went, for those who count and trace. Times are Unix milliseconds. */
export type OperationReport = {
  /** Dotted noun.verb of a closed set, for example `sandbox.create`. */
  verb: string;
  startedAt: number;
  endedAt: number;
  phases: (Pick<Phase, 'name' | 'error'> & { startedAt: number; endedAt: number })[];
  attributes: Record<string, string | number>;
  traceParent: string | undefined;
  error: { code: ErrorCode; message: string } | undefined;
};

const observers = new Set<(report: OperationReport) => void>();

/** Hears of every observed operation of this process when it has ended; an observer must be quick. */
export function onOperation(observer: (report: OperationReport) => void): Disposable {
  observers.add(observer);
  return { [Symbol.dispose]: () => void observers.delete(observer) };
}

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
  /** What is worked on, for traces and counters; no secrets. */
  readonly attributes: Record<string, string | number> = {};
  /** The caller's place in a trace, a W3C `traceparent` header as it came. */
  readonly traceParent: string | undefined;
  private readonly onPhase: ((phase: Phase) => void) | undefined;

  constructor(
    name: string,
    options: {
      timeoutMs: number;
      signal?: AbortSignal;
      onPhase?: (phase: Phase) => void;
      traceParent?: string | undefined;
    },
  ) {
    this.name = name;
    this.traceParent = options.traceParent;
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
      const ms = performance.now() - start;
      const phase: Phase = { name, startedAt: start, ms, ...(error ? { error } : {}) };
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

  /** Does the whole of the work, and tells the observers how it went. */
  async observe<T>(verb: string, work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      this.report(verb);
      return result;
    } catch (caught) {
      this.report(verb, SandboxError.from(caught));
      throw caught;
    }
  }

  private report(verb: string, error?: SandboxError): void {
    if (observers.size === 0) return;
    const epoch = Date.now() - performance.now(); // anew each time: the wall clock may have been set
    const report: OperationReport = {
      verb,
      startedAt: epoch + this.startedAt,
      endedAt: epoch + performance.now(),
      phases: this.phases.map(({ name, startedAt, ms, error }) => ({
        name,
        startedAt: epoch + startedAt,
        endedAt: epoch + startedAt + ms,
        ...(error && { error }),
      })),
      attributes: this.attributes,
      traceParent: this.traceParent,
      error: error && { code: error.code, message: error.message },
    };
    for (const observer of observers) {
      try {
        observer(report);
      } catch (caught) {
        log('error', 'operation.observe', { verb, error: String(caught) }); // the work itself is none the worse
      }
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
