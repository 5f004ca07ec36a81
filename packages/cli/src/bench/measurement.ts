import type { Connection, Control, Envd } from '@sandbox-backend/sdk';
import type { Sandboxes } from './sandboxes.ts';

export type BenchOptions = {
  template: string;
  count: number;
  concurrency: number;
  fileMib: number;
  settleSeconds: number;
};

/** What every measurement needs; made once by `runBench`. */
export type Bench = BenchOptions & {
  control: Control;
  connection: Connection;
  signal: AbortSignal;
  sandboxes: Sandboxes;
};

export type BenchSandbox = { id: string; envd: Envd; phases: Record<string, number> };

/** Samples in one unit, or why there are none. */
export type Measurement =
  | {
      name: string;
      unit: 'ms' | 'MB/s' | 'MiB';
      samples: number[];
      summary: Summary;
      /** Samples of each phase that the server reported, in milliseconds. */
      phases?: Record<string, number[]>;
      failures?: string[];
    }
  | { name: string; notMeasured: string };

export type Summary = { n: number; p50: number; p95: number; min: number; max: number };

/** The nearest-rank percentiles: each is a value that was measured. */
export function summarize(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
  return { n: sorted.length, p50: at(0.5), p95: at(0.95), min: at(0), max: at(1) };
}

export function measured(
  name: string,
  unit: 'ms' | 'MB/s' | 'MiB',
  samples: number[],
  more: { phases?: Record<string, number[]>; failures?: string[] } = {},
): Measurement {
  if (samples.length > 0) return { name, unit, samples, summary: summarize(samples), ...more };
  return { name, notMeasured: more.failures?.[0] ?? 'there was no sample' };
}

/** Milliseconds that the work took, and its result. */
export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const start = performance.now();
  const result = await work();
  return { ms: performance.now() - start, result };
}
