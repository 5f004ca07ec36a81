import {
  type Attributes,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { OperationReport } from '@sandbox-backend/kit';
import { parseTraceParent } from './trace-parent.ts';

/** Attributes by the names that a reader of traces finds them under. */
const NAMES: Record<string, string> = {
  sandbox: 'sandbox.id',
  template: 'sandbox.template',
  build: 'sandbox.build',
  team: 'sandbox.team',
  snapshot: 'sandbox.snapshot',
  reason: 'sandbox.end_reason',
  reclaimedBytes: 'sandbox.reclaimed_bytes',
};

/** The span of an operation and, below it, one for each of its phases, all with the times that they really had. */
export function recordSpans(tracer: Tracer, report: OperationReport): void {
  const parent = parseTraceParent(report.traceParent ?? '');
  const outside = parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
  const options = {
    startTime: report.startedAt,
    kind: parent ? SpanKind.SERVER : SpanKind.INTERNAL,
    attributes: renamed(report.attributes),
  };
  const span = tracer.startSpan(report.verb, options, outside);
  const inside = trace.setSpan(outside, span);
  for (const phase of report.phases) {
    const child = tracer.startSpan(phase.name, { startTime: phase.startedAt }, inside);
    if (phase.error) fail(child, phase.error);
    child.end(phase.endedAt);
  }
  if (report.error) fail(span, report.error.code, report.error.message);
  span.end(report.endedAt);
}

function fail(span: Span, code: string, message = ''): void {
  span.setAttribute('error.type', code);
  span.setStatus({ code: SpanStatusCode.ERROR, message: message.slice(0, 500) });
}

const renamed = (attributes: OperationReport['attributes']): Attributes =>
  Object.fromEntries(Object.entries(attributes).map(([key, value]) => [NAMES[key] ?? key, value]));
