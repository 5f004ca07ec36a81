import { isSpanContextValid, type SpanContext, TraceFlags } from '@opentelemetry/api';

/** `version-trace-span-flags` of W3C Trace Context; a later version may add fields after them. */
const TRACE_PARENT = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Where in a trace the caller is; undefined for a header that is not of the standard, which then begins no trace. */
export function parseTraceParent(header: string): SpanContext | undefined {
  const [, version, traceId, spanId, flags, rest] = TRACE_PARENT.exec(header) ?? [];
  if (!traceId || !spanId || (version === '00' && rest)) return undefined;
  const traceFlags = Number.parseInt(flags!, 16) & TraceFlags.SAMPLED;
  const context = { traceId, spanId, traceFlags, isRemote: true };
  return isSpanContextValid(context) ? context : undefined;
}
