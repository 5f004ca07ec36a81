import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parsePrometheus } from '@sandbox-backend/kit';
import { Sandbox } from 'e2b';
import { type Collector, startCollector } from '../../packages/server/src/telemetry/testing/collector.ts';
import { dataRoot, ensureDefaultTemplate, startServer, type TestServer } from '../harness/server.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALLER = '00f067aa0ba902b7';
const TEMPLATE = 'default-sandbox';

describe('what an operator sees of a sandbox', () => {
  let collector: Collector;
  let server: TestServer;
  let sandboxId: string;
  before(async () => {
    ensureDefaultTemplate();
    collector = await startCollector();
    server = await startServer({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: '200',
    });
    Object.assign(process.env, server.env);
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await collector?.[Symbol.asyncDispose]();
  });

  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${server.apiUrl}${path}`, {
      ...init,
      headers: {
        Authorization: `Bearer ${server.apiKey}`,
        'Content-Type': 'application/json',
        ...init.headers,
      },
    });
  const scrape = async (path: string) => {
    const response = await ask(path);
    assert.equal(response.status, 200);
    return parsePrometheus(await response.text());
  };
  const logs = async () => {
    const response = await ask(`/v2/sandboxes/${sandboxId}/logs?limit=1000&direction=backward`);
    const { logs } = (await response.json()) as { logs: { level: string; message: string }[] };
    return logs.reverse();
  };

  test('a create is a span in the trace of the request that asked for it, with its phases', async () => {
    const response = await ask('/sandboxes', {
      method: 'POST',
      body: JSON.stringify({ templateID: TEMPLATE, timeout: 300 }),
      headers: { traceparent: `00-${TRACE}-${CALLER}-01` },
    });
    assert.equal(response.status, 201);
    sandboxId = ((await response.json()) as { sandboxID: string }).sandboxID;
    const create = await eventually(() => collector.spans.find(({ name }) => name === 'sandbox.create'));
    assert.equal(create.traceId, TRACE);
    assert.equal(create.parentSpanId, CALLER);
    assert.equal(create.attributes['sandbox.id'], sandboxId);
    assert.equal(create.attributes['sandbox.template'], TEMPLATE);
    const phases = collector.spans.filter(({ parentSpanId }) => parentSpanId === create.spanId);
    for (const name of ['template', 'slot', 'disk', 'room', 'vmm start', 'resume', 'guest']) {
      assert.ok(
        phases.some((phase) => phase.name === name),
        `there is a phase ${name}`,
      );
    }
  });

  test('a create that fails is a span that says why', async () => {
    const response = await ask('/sandboxes', {
      method: 'POST',
      body: JSON.stringify({ templateID: 'nothing' }),
    });
    assert.equal(response.status, 404);
    const failed = await eventually(() =>
      collector.spans.find(({ status, parentSpanId }) => status === 2 && !parentSpanId),
    );
    assert.equal(failed.name, 'sandbox.create');
    assert.equal(failed.attributes['error.type'], 'not_found');
  });

  test('Prometheus scrapes the server', async () => {
    const families = await scrape('/metrics');
    const value = (name: string, labels: Record<string, string> = {}) =>
      families
        .get(name)
        ?.samples.find((sample) => Object.entries(labels).every(([key, text]) => sample.labels[key] === text))
        ?.value;
    const creates = { operation: 'sandbox.create' };
    assert.equal(
      value('sandbox_backend_operations_total', { ...creates, code: 'ok', template: TEMPLATE }),
      1,
    );
    assert.equal(
      value('sandbox_backend_operations_total', { ...creates, code: 'not_found', template: '' }),
      1,
    );
    assert.equal(value('sandbox_backend_sandboxes', { state: 'running' }), 1);
    assert.equal(value('sandbox_backend_sandboxes', { state: 'killing' }), 0);
    assert.ok(value('sandbox_backend_host_memory_available_bytes')! > 0);
    assert.ok(value('sandbox_backend_data_free_bytes')! > 0);
    assert.ok(value('process_resident_memory_bytes')! > 0);
    const guest = families
      .get('sandbox_backend_operation_phase_duration_seconds')!
      .samples.filter(({ labels }) => labels.operation === 'sandbox.create' && labels.phase === 'guest');
    assert.equal(guest.find(({ name }) => name.endsWith('_count'))?.value, 1);
  });

  test('Prometheus finds the sandbox, and scrapes its guest through the server', async () => {
    const [target] = (await (await ask('/metrics/targets')).json()) as { labels: Record<string, string> }[];
    assert.equal(target?.labels.instance, sandboxId);
    for (const path of ['/metrics/sandboxes', target!.labels.__metrics_path__!]) {
      const families = await scrape(path);
      const [memory] = families.get('sandbox_backend_sandbox_memory_size_bytes')!.samples;
      assert.deepEqual(memory?.labels, { sandbox_id: sandboxId, template: TEMPLATE });
      assert.ok(memory.value > 64 * 1024 * 1024, 'the guest has said how much memory it has');
      assert.equal(families.get('sandbox_backend_sandbox_up')?.samples[0]?.value, 1);
    }
  });

  test('memory given back is counted', async () => {
    const { families, freed } = await deactivated();
    const sum = families
      .get('sandbox_backend_deactivation_reclaimed_bytes')!
      .samples.find(({ name }) => name.endsWith('_sum'))?.value;
    assert.equal(sum, freed);
  });

  async function deactivated() {
    const response = await ask(`/sandboxes/${sandboxId}/deactivate`, { method: 'POST' });
    assert.equal(response.status, 200);
    const { beforeBytes, afterBytes } = (await response.json()) as {
      beforeBytes: number;
      afterBytes: number;
    };
    return { families: await scrape('/metrics'), freed: Math.max(0, beforeBytes - afterBytes) };
  }

  test('what the guest prints is kept, harmless and bounded, though nobody asks for it', async () => {
    const sandbox = await Sandbox.connect(sandboxId);
    const print =
      'printf "a\\033[31mred\\033[0m \\033]0;title\\007 word\\n" > /dev/console; yes flood | head -c 200000 > /dev/console; echo the last word > /dev/console';
    await sandbox.commands.run(print, { user: 'root' });
    const file = join(dataRoot, 'logs', `${sandboxId}.log`);
    await eventually(
      () => (existsSync(file) && readFileSync(file, 'utf8').includes('the last word')) || undefined,
    );
    assert.ok(statSync(file).size <= 128 * 1024);
    assert.ok(!readFileSync(file, 'utf8').includes('\x1b'));
  });

  test('after a crash its log says how it ended', async () => {
    const status = (await (await ask('/status')).json()) as {
      sandboxes: { sandboxId: string; pid: number }[];
    };
    process.kill(status.sandboxes.find((row) => row.sandboxId === sandboxId)!.pid, 'SIGKILL');
    await eventually(async () => (await ask(`/sandboxes/${sandboxId}`)).status === 404 || undefined);
    const lines = await logs();
    assert.match(lines.at(-1)!.message, /^the sandbox ended \(crashed\)/);
    assert.equal(lines.at(-1)!.level, 'error');
    assert.ok(lines.some(({ message }) => message.endsWith('the last word')));
    const exits = (await scrape('/metrics')).get('sandbox_backend_sandbox_exits_total')!.samples;
    assert.deepEqual(
      exits.map(({ labels, value }) => ({ ...labels, value })),
      [{ reason: 'crashed', value: 1 }],
    );
  });

  test('what is left is sent when the server ends', async () => {
    const sandbox = await Sandbox.create(TEMPLATE);
    await sandbox.kill();
    await server.stop();
    const kill = collector.spans.find(({ name }) => name === 'sandbox.kill');
    assert.equal(kill?.attributes['sandbox.id'], sandbox.sandboxId);
    assert.equal(kill?.attributes['sandbox.end_reason'], 'killed');
    const creates = collector
      .points('sandbox_backend_operations_total')
      .filter(({ labels }) => labels.operation === 'sandbox.create' && labels.code === 'ok');
    assert.equal(creates[0]?.value, 2);
    assert.equal(collector.resource['service.name'], 'sandbox-backend');
  });
});

async function eventually<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let round = 0; round < 300; round++) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(100);
  }
  throw new Error(`it did not come true within 30 s: ${look}`);
}
