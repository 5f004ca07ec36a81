import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { Operation, parsePrometheus, prometheusText } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { readOtlpConfig } from './config.ts';
import { startTelemetry } from './start-telemetry.ts';
import { startCollector } from './testing/collector.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALLER = '00f067aa0ba902b7';

/** Sets the variables that OpenTelemetry itself reads, for one test. */
function withEnv(env: Record<string, string>): Disposable {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, env);
  return {
    [Symbol.dispose]() {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    },
  };
}

const start = () => startTelemetry({ otlp: readOtlpConfig(process.env), version: '1.2.3' });

async function work(options: { traceParent?: string; fails?: boolean } = {}): Promise<void> {
  const op = new Operation('work', { timeoutMs: 10_000, traceParent: options.traceParent });
  const done = op.observe('sandbox.create', async () => {
    Object.assign(op.attributes, { sandbox: 'i1', template: 'base' });
    await op.phase('slot', () => undefined);
    await op.phase('disk', () => {
      if (options.fails) throw new SandboxError('no_space', 'the disk is full');
    });
  });
  await done.catch(() => undefined);
}

test('an operation arrives as a span with its phases below it, in the trace of its caller', async () => {
  await using collector = await startCollector();
  using _env = withEnv({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_SERVICE_NAME: 'my-sandboxes',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=blue',
  });
  const telemetry = await start();
  await work({ traceParent: `00-${TRACE}-${CALLER}-01` });
  await work({ fails: true });
  await telemetry[Symbol.asyncDispose](); // sends what is left

  const [traced, failed] = collector.spans.filter(({ name }) => name === 'sandbox.create');
  assert.equal(traced?.traceId, TRACE);
  assert.equal(traced?.parentSpanId, CALLER);
  assert.deepEqual(traced?.attributes, { 'sandbox.id': 'i1', 'sandbox.template': 'base' });
  assert.equal(traced?.status, 0);
  const below = collector.spans.filter(({ parentSpanId }) => parentSpanId === traced?.spanId);
  assert.deepEqual(
    below.map(({ name }) => name),
    ['slot', 'disk'],
  );
  for (const { traceId, start: from, end } of below) {
    assert.equal(traceId, TRACE);
    assert.ok(from >= traced!.start && end >= from && end <= traced!.end);
  }

  assert.notEqual(failed?.traceId, TRACE);
  assert.equal(failed?.parentSpanId, undefined);
  assert.equal(failed?.status, 2);
  assert.equal(failed?.attributes['error.type'], 'no_space');

  assert.equal(collector.resource['service.name'], 'my-sandboxes');
  assert.equal(collector.resource['service.version'], '1.2.3');
  assert.equal(collector.resource['deployment.environment.name'], 'test');
  assert.ok(collector.headers.every((headers) => headers['x-tenant'] === 'blue'));
});

test('a caller that does not sample its trace has none of it recorded, but is counted', async () => {
  await using collector = await startCollector();
  using _env = withEnv({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const telemetry = await start();
  await work({ traceParent: `00-${TRACE}-${CALLER}-00` });
  await telemetry[Symbol.asyncDispose]();
  assert.deepEqual(collector.spans, []);
  assert.equal(collector.points('sandbox_backend_operations_total')[0]?.value, 1);
});

test('Prometheus and OTLP say the same', async () => {
  await using collector = await startCollector();
  using _env = withEnv({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const telemetry = await start();
  await work();
  await work();
  await work({ fails: true });
  const scraped = parsePrometheus(prometheusText(await telemetry.read()));
  await telemetry[Symbol.asyncDispose]();

  const operations = scraped.get('sandbox_backend_operations_total')!.samples;
  const labels = { operation: 'sandbox.create', template: 'base' };
  const expected = [
    { labels: { ...labels, code: 'ok' }, value: 2 },
    { labels: { ...labels, code: 'no_space' }, value: 1 },
  ];
  assert.deepEqual(
    operations.map((sample) => ({ labels: sample.labels, value: sample.value })),
    expected,
  );
  const sent = collector.points('sandbox_backend_operations_total');
  assert.deepEqual(
    sent.map((point) => ({ labels: point.labels, value: point.value })),
    expected,
  );
  const durations = collector.points('sandbox_backend_operation_duration_seconds');
  assert.deepEqual(
    durations.map(({ labels: { result }, value, unit }) => ({ result, value, unit })),
    [
      { result: 'ok', value: 2, unit: 's' },
      { result: 'error', value: 1, unit: 's' },
    ],
  );
});

test('with a collector that takes nothing in, work goes on and the end is not held up', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const sockets = new Set<{ destroy(): void }>();
  silent.on('connection', (socket) => sockets.add(socket));
  const { port } = silent.address() as AddressInfo;
  using _env = withEnv({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_BSP_SCHEDULE_DELAY: '1',
  });
  const telemetry = await start();
  for (let round = 0; round < 3000; round++) await work(); // more spans than are kept
  await telemetry[Symbol.asyncDispose]();
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test('with no collector at the address, the end is not held up either', async () => {
  using _env = withEnv({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
  const telemetry = await start();
  await work();
  await telemetry[Symbol.asyncDispose]();
});

for (const [what, env, wanted] of [
  ['off', {}, 'false'],
  ['on', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }, 'true'],
] as const) {
  test(`OpenTelemetry is loaded only when it is asked for: ${what}`, () => {
    const script = `
      const { registerHooks } = await import('node:module');
      let loaded = false;
      registerHooks({ load(url, context, next) {
        loaded ||= url.includes('@opentelemetry');
        return next(url, context);
      } });
      const { startTelemetry } = await import('${import.meta.dirname}/start-telemetry.ts');
      const { readOtlpConfig } = await import('${import.meta.dirname}/config.ts');
      const telemetry = await startTelemetry({ otlp: readOtlpConfig(process.env), version: '1' });
      await telemetry.read();
      console.log(loaded);
      process.exit(0);`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { PATH: process.env.PATH, ...env },
      encoding: 'utf8',
    });
    assert.equal(stdout.trim(), wanted, stderr);
  });
}

for (const [env, name] of [
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' }, 'OTEL_EXPORTER_OTLP_ENDPOINT'],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'no' }, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'],
  [
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    'OTEL_EXPORTER_OTLP_PROTOCOL',
  ],
  [
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_METRIC_EXPORT_INTERVAL: 'soon' },
    'OTEL_METRIC_EXPORT_INTERVAL',
  ],
] as [Record<string, string>, string][]) {
  test(`${JSON.stringify(env)} is refused, and the error names ${name}`, () => {
    assert.throws(
      () => readOtlpConfig(env),
      (error: Error) => error.message.includes(name),
    );
  });
}

test('what is sent can be chosen', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };
  assert.equal(readOtlpConfig({}), undefined);
  assert.equal(readOtlpConfig({ ...endpoint, OTEL_SDK_DISABLED: 'true' }), undefined);
  const none = { OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none' };
  assert.equal(readOtlpConfig({ ...endpoint, ...none }), undefined);
  const traces = readOtlpConfig({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' });
  assert.equal(traces?.traces, true);
  assert.equal(traces?.metrics, false);
});
