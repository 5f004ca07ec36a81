import { Operation } from '@sandbox-backend/kit';
import type { SandboxMetrics } from '@sandbox-backend/protocol';
import type { SandboxRow } from '../db/sandboxes.ts';
import type { SandboxDeps } from './deps.ts';

export type ScrapedSandbox = {
  row: SandboxRow;
  /** Undefined when the guest did not answer in time. */
  metrics: SandboxMetrics | undefined;
};

/** A guest may never answer; the others are waited for no longer because of it. */
const PATIENCE_MS = 2000;
/** Guests asked at once. */
const WORKERS = 32;
/** Prometheus waits 10 s unless told otherwise; those not asked by then are without metrics. */
const TOTAL_MS = 8000;

/** Asks the guests of running sandboxes what they use, in bounded time whatever they do. */
export async function scrapeSandboxes(
  op: Pick<Operation, 'signal'>,
  deps: Pick<SandboxDeps, 'node'>,
  rows: readonly SandboxRow[],
): Promise<ScrapedSandbox[]> {
  const signal = AbortSignal.any([op.signal, AbortSignal.timeout(TOTAL_MS)]);
  const scraped: ScrapedSandbox[] = rows.map((row) => ({ row, metrics: undefined }));
  const queue = scraped.values();
  const work = async () => {
    for (const sandbox of queue) {
      if (signal.aborted) return;
      const call = new Operation('scrape a sandbox', { timeoutMs: PATIENCE_MS, signal });
      sandbox.metrics = await deps.node.metrics(call, sandbox.row.id).catch(() => undefined);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  return scraped;
}
