import { log } from '@sandbox-backend/kit';
import { invalidSetting, readCount, readOneOf } from '@sandbox-backend/machines';

export type OtlpConfig = {
  traces: boolean;
  metrics: boolean;
  /** Between two exports. */
  traceDelayMs: number;
  metricIntervalMs: number;
};

const ENDPOINT = 'OTEL_EXPORTER_OTLP_ENDPOINT';

/**
 * Whether and how often to send, from OpenTelemetry's standard variables; undefined: nothing is sent. Endpoints,
 * headers, timeouts and the name of the service are read by OpenTelemetry itself, from the same environment.
 */
export function readOtlpConfig(env: NodeJS.ProcessEnv): OtlpConfig | undefined {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return undefined;
  const config: OtlpConfig = {
    traces: isWanted(env, 'TRACES'),
    metrics: isWanted(env, 'METRICS'),
    traceDelayMs: readCount(env, 'OTEL_BSP_SCHEDULE_DELAY', 5000),
    metricIntervalMs: Math.max(1, readCount(env, 'OTEL_METRIC_EXPORT_INTERVAL', 60_000)),
  };
  return config.traces || config.metrics ? config : undefined;
}

function isWanted(env: NodeJS.ProcessEnv, signal: 'TRACES' | 'METRICS'): boolean {
  const own = `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`;
  const name = env[own] ? own : ENDPOINT;
  const url = env[name];
  if (!url) return false;
  if (readOneOf(env, `OTEL_${signal}_EXPORTER`, ['otlp', 'none'], 'otlp') === 'none') return false;
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw invalidSetting(name, url, 'an HTTP address, for example http://127.0.0.1:4318');
  }
  checkProtocol(env, signal);
  return true;
}

/** The port for gRPC is another than that for HTTP: to send HTTP there would fail with every export. */
function checkProtocol(env: NodeJS.ProcessEnv, signal: string): void {
  const own = `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`;
  const name = env[own] ? own : 'OTEL_EXPORTER_OTLP_PROTOCOL';
  const protocol = env[name] || 'http/json';
  if (protocol === 'http/protobuf') log('warn', 'telemetry.protocol', { asked: protocol, used: 'http/json' });
  else if (protocol !== 'http/json') throw invalidSetting(name, protocol, 'http/json');
}
