import { log, type MetricFamily, onOperation } from '@sandbox-backend/kit';
import { type NodeService, SandboxError } from '@sandbox-backend/protocol';
import type { OtlpConfig } from './config.ts';
import { operationCounter } from './count-operations.ts';
import { type GaugeSources, readGauges } from './gauges.ts';
import { createRegistry } from './registry.ts';

export type Telemetry = AsyncDisposable & {
  /** What there is to look at, once it is there. */
  watch(sources: Omit<GaugeSources, 'node' | 'version'> & { node: NodeService }): void;
  /** Everything that is counted and measured, now. */
  read(): Promise<readonly MetricFamily[]>;
};

/**
 * Counts operations from now on, and sends them on as traces and metrics if `otlp` says so; without it nothing of
 * OpenTelemetry is loaded. Nothing here is on the way of a request, and nothing fails one.
 */
export async function startTelemetry(options: {
  otlp: OtlpConfig | undefined;
  version: string;
}): Promise<Telemetry> {
  const { otlp, version } = options;
  const registry = createRegistry();
  const exits = registry.counter(
    'sandbox_backend_sandbox_exits_total',
    'Sandboxes that ended by themselves, by reason.',
  );
  await using held = new AsyncDisposableStack();
  held.use(onOperation(operationCounter(registry)));
  let sources: GaugeSources | undefined;

  const read = async () => [...registry.families(), ...(sources ? await gauges(sources) : [])];
  if (otlp) {
    const { startOtlp } = await import('./otlp/start-otlp.ts');
    held.use(startOtlp(otlp, version, read));
  }

  const owned = held.move();
  return {
    watch(given) {
      sources = { ...given, version };
      given.node.onExit(({ reason }) => exits({ reason }));
    },
    read,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A host that cannot be measured is no reason to hide what was counted. */
async function gauges(sources: GaugeSources): Promise<MetricFamily[]> {
  try {
    return await readGauges(sources);
  } catch (caught) {
    log('warn', 'telemetry.gauges', { error: SandboxError.from(caught).describe() });
    return [];
  }
}
