import { hostname } from 'node:os';
import { DiagLogLevel, diag } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { log, type MetricFamily, onOperation } from '@sandbox-backend/kit';
import type { OtlpConfig } from '../config.ts';
import { metricProducer } from './metrics.ts';
import { recordSpans } from './spans.ts';

/** A collector that is down must not hold up the end of the server for longer. */
const FLUSH_MS = 3000;
/** Spans that wait while the collector is down; later ones are dropped. */
const MAX_QUEUED_SPANS = 2048;
/** Of what goes wrong with sending. */
const COMPLAIN_EVERY_MS = 60_000;

/**
 * Sends spans and metrics to the collector that the environment names, in the background. Only this folder knows
 * OpenTelemetry, and it is loaded only when something is sent.
 */
export function startOtlp(
  config: OtlpConfig,
  version: string,
  read: () => Promise<readonly MetricFamily[]>,
): AsyncDisposable {
  complainInLog();
  const resource = resourceFromAttributes({
    'service.name': 'sandbox-backend',
    'service.version': version,
    'service.instance.id': hostname(),
  }).merge(detectResources({ detectors: [envDetector] }));
  const tracers = config.traces ? openTracers(config, resource) : undefined;
  const meters = config.metrics
    ? new MeterProvider({
        resource,
        readers: [
          new PeriodicExportingMetricReader({
            exporter: new OTLPMetricExporter(),
            exportIntervalMillis: config.metricIntervalMs,
            metricProducers: [metricProducer(read, resource)],
          }),
        ],
      })
    : undefined;
  const tracer = tracers?.getTracer('sandbox-backend', version);
  const observer = tracer && onOperation((report) => recordSpans(tracer, report));

  return {
    async [Symbol.asyncDispose]() {
      observer?.[Symbol.dispose]();
      const flushed = Promise.allSettled([tracers?.shutdown(), meters?.shutdown()]);
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, FLUSH_MS);
      await Promise.race([flushed, late]);
      clearTimeout(timer);
      diag.disable();
    },
  };
}

function openTracers(config: OtlpConfig, resource: ReturnType<typeof resourceFromAttributes>) {
  return new TracerProvider({
    resource,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter(),
        maxQueueSize: MAX_QUEUED_SPANS,
        scheduledDelayMillis: config.traceDelayMs,
      }),
    ],
  });
}

/** A collector that is down says so now and then, and does not fill the log. */
function complainInLog(): void {
  let quietUntil = 0;
  const complain = (message: string, ...details: unknown[]) => {
    if (Date.now() < quietUntil) return;
    quietUntil = Date.now() + COMPLAIN_EVERY_MS;
    log('warn', 'telemetry.export', { message: [message, ...details.map(String)].join(' ').slice(0, 500) });
  };
  const ignore = () => undefined;
  diag.setLogger(
    { error: complain, warn: complain, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}
