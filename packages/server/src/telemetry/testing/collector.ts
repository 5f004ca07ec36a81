import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';

export type CollectedSpan = {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  /** Unix nanoseconds. */
  start: bigint;
  end: bigint;
  attributes: Record<string, unknown>;
  /** 2 is an error. */
  status: number;
};

export type CollectedPoint = { metric: string; unit: string; labels: Record<string, unknown>; value: number };

export type Collector = AsyncDisposable & {
  url: string;
  spans: CollectedSpan[];
  /** Of the last export that had it, for each metric; of a histogram its count. */
  points(metric: string): CollectedPoint[];
  resource: Record<string, unknown>;
  headers: IncomingHttpHeaders[];
};

// The parts of OTLP/JSON that are read here, named as on the wire.
type Value = {
  stringValue?: string;
  intValue?: string | number;
  doubleValue?: number;
  arrayValue?: unknown;
  boolValue?: boolean;
};
type Attributes = { key: string; value: Value }[];
type WireSpan = {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: Attributes;
  status?: { code?: number };
};
type WirePoint = {
  attributes?: Attributes;
  asDouble?: number;
  asInt?: string | number;
  count?: string | number;
};
type WireMetric = {
  name: string;
  unit?: string;
  sum?: { dataPoints: WirePoint[] };
  gauge?: { dataPoints: WirePoint[] };
  histogram?: { dataPoints: WirePoint[] };
};

/** A collector of OTLP/JSON over HTTP that keeps what it is sent. */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const metrics = new Map<string, CollectedPoint[]>();
  const headers: IncomingHttpHeaders[] = [];
  let resource: Record<string, unknown> = {};

  const server = createServer(async (request, response) => {
    headers.push(request.headers);
    const body = await buffer(request);
    const message = JSON.parse(
      (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString('utf8'),
    );
    for (const { resource: from, scopeSpans = [] } of message.resourceSpans ?? []) {
      resource = readAttributes(from.attributes);
      for (const scope of scopeSpans) spans.push(...scope.spans.map(readSpan));
    }
    for (const { resource: from, scopeMetrics = [] } of message.resourceMetrics ?? []) {
      resource = readAttributes(from.attributes);
      for (const scope of scopeMetrics) {
        for (const metric of scope.metrics) metrics.set(metric.name, readMetric(metric));
      }
    }
    response.setHeader('Content-Type', 'application/json').end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    points: (metric) => metrics.get(metric) ?? [],
    get resource() {
      return resource;
    },
    headers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const readSpan = (span: WireSpan): CollectedSpan => ({
  name: span.name,
  traceId: span.traceId,
  spanId: span.spanId,
  parentSpanId: span.parentSpanId || undefined,
  start: BigInt(span.startTimeUnixNano),
  end: BigInt(span.endTimeUnixNano),
  attributes: readAttributes(span.attributes),
  status: span.status?.code ?? 0,
});

function readMetric({ name, unit = '', sum, gauge, histogram }: WireMetric): CollectedPoint[] {
  return (sum ?? gauge ?? histogram)!.dataPoints.map(({ attributes, asDouble, asInt, count }) => ({
    metric: name,
    unit,
    labels: readAttributes(attributes),
    value: Number(asDouble ?? asInt ?? count),
  }));
}

const readAttributes = (attributes: Attributes = []) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
