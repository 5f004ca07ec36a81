import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { FakeBackend } from '../testing/fake-backend.ts';
import { runCli, SANDBOX_CLI } from '../testing/run-cli.ts';
import { readBareRestore } from './measure-bare-restore.ts';
import { parseSmapsRollup } from './measure-memory.ts';
import { type Measurement, summarize } from './measurement.ts';

const SMALL = ['bench', '--count', '3', '--concurrency', '4', '--file-mib', '1', '--settle-seconds', '1'];

test('percentiles are values that were measured', () => {
  const samples = Array.from({ length: 20 }, (_, index) => 20 - index);
  assert.deepEqual(summarize(samples), { n: 20, p50: 10, p95: 19, min: 1, max: 20 });
  assert.deepEqual(summarize([7]), { n: 1, p50: 7, p95: 7, min: 7, max: 7 });
});

test('memory from smaps_rollup', () => {
  const text = 'Rss: 9 kB\nPss:     3072 kB\nPss_Anon: 1 kB\nPrivate_Clean: 512 kB\nPrivate_Dirty: 1536 kB\n';
  assert.deepEqual(parseSmapsRollup(`${text}Private_Hugetlb: 0 kB\n`), { pss: 3, uss: 2 });
  assert.throws(() => parseSmapsRollup(text), /no Private_Hugetlb/);
});

test('what template-manager says of the bare VMM', () => {
  const samples = [
    { resume: 1, 'first answer': 20, total: 30 },
    { resume: 3, 'first answer': 40, total: 50 },
  ];
  const measurement = readBareRestore(JSON.stringify({ count: 2, phases: {}, samples }));
  assert.ok('samples' in measurement);
  assert.deepEqual(measurement.samples, [30, 50]);
  assert.deepEqual(measurement.phases, { resume: [1, 3], 'first answer': [20, 40] });
});

test('every measurement is there with its samples, or with the reason why not', async () => {
  await using backend = await FakeBackend.start();
  const { status, stdout } = await runCli([...SMALL, '--json'], { env: backend.env });
  assert.equal(status, 0);
  const measurements = new Map<string, Measurement>(
    JSON.parse(stdout).measurements.map((each: Measurement) => [each.name, each]),
  );
  const samplesOf = (name: string) => {
    const found = measurements.get(name);
    assert.ok(found && 'samples' in found, `${name}: ${JSON.stringify(found)}`);
    return found;
  };
  for (const name of ['create (as configured)', 'create + exec true (cold)', 'exec /bin/true']) {
    assert.equal(samplesOf(name).samples.length, 3, name);
  }
  assert.deepEqual(samplesOf('create (cold)').phases, {
    slot: [1.5, 1.5, 1.5],
    restore: [40, 40, 40],
    total: [45, 45, 45],
  });
  for (const name of ['file up, 1 MiB', 'file down, 1 MiB', 'network down, direct']) samplesOf(name);
  assert.ok(samplesOf('memory of an idle sandbox: private').summary.p50 > 1);
  assert.ok(samplesOf('memory of an idle sandbox, cold: private').summary.p50 > 1);
  assert.equal(samplesOf('4 idle at once, cold: memory of each: with its share (PSS)').samples.length, 4);
  assert.equal(samplesOf('4 at once: each').samples.length, 4);
  assert.equal(samplesOf('4 at once, after a program: memory of each: private').samples.length, 4);
  assert.deepEqual(measurements.get('network through the data plane'), {
    name: 'network through the data plane',
    notMeasured: 'the answer was 502',
  });
  assert.ok([...measurements.keys()].some((name) => name.startsWith('bare VMM restored by hand')));

  const colds = backend.requests.filter(({ headers }) => headers['x-sandbox-cold'] === '1');
  assert.equal(colds.length, 8, 'three rounds, one for its memory, and four for theirs');
  assert.equal(backend.sandboxes.size, 0);
  assert.equal(backend.envd.running, 0);
});

test('failures of a burst are counted and told, and what was made is deleted', async () => {
  await using backend = await FakeBackend.start();
  const other = backend.addSandbox();
  backend.capacity = 3;
  const { status, stdout } = await runCli(SMALL, { env: backend.env });
  assert.equal(status, 0);
  assert.match(stdout, /^MEASURED +UNIT +P50 +P95 +MIN +MAX +N\n/m);
  assert.match(stdout, /^4 at once: each +ms .* 2$/m);
  assert.match(stdout, /^4 at once: all answer: not measured: This host is full$/m);
  assert.match(stdout, /^4 idle at once, cold: memory of each: not measured: This host is full$/m);
  assert.match(stdout, /^4 at once: each: 2 failed, the first with: This host is full$/m);
  assert.deepEqual([...backend.sandboxes.keys()], [other]);
});

test('Ctrl-C deletes what was made before it ends', async () => {
  await using backend = await FakeBackend.start();
  const child = spawn(SANDBOX_CLI, [...SMALL, '--json'], {
    env: backend.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  let stdout = '';
  child.stdout.on('data', (data) => {
    stdout += String(data);
  });
  child.stderr.on('data', (data) => {
    stderr += String(data);
    // An idle sandbox is there and nothing else goes on.
    if (String(data).includes('memory of an idle sandbox')) child.kill('SIGINT');
  });
  const [status] = await once(child, 'close');
  assert.deepEqual([status, stdout, backend.sandboxes.size], [130, '', 0]);
  assert.match(stderr, /"code":"canceled"/);
});

test('a template that does not exist is one error', async () => {
  await using backend = await FakeBackend.start();
  const { status, stdout, stderr } = await runCli([...SMALL, '-t', 'nope'], { env: backend.env });
  assert.deepEqual([status, stdout], [4, '']);
  assert.match(stderr, /error: template 'nope' not found/);
});
