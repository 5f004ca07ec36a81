import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { run, unary, until } from '../testing/rpc.ts';
import { startEnvd, whyNot } from '../testing/start-envd.ts';
import { parseTimestamp } from './parse-timestamp.ts';
import { withHost } from './set-hostname.ts';

const post = (url: string, path: string, body: unknown, headers = {}) =>
  fetch(`${url}${path}`, { method: 'POST', body: JSON.stringify(body), headers });

describe('orders of the host', { skip: whyNot() }, () => {
  test('/init gives token, environment, user and folder; programs of the guest cannot give another', async () => {
    await using envd = await startEnvd();
    const first = await post(envd.url, '/init', {
      accessToken: 'first',
      envVars: { GIVEN: 'yes' },
      defaultUser: 'root',
      defaultWorkdir: '/usr',
      sandboxId: 'i123',
      templateId: 't456',
      timestamp: new Date().toISOString(),
      entropy: Buffer.alloc(64).toString('base64'),
      hostname: 'box',
    });
    assert.equal(first.status, 204);
    const headers = { 'x-access-token': 'first' };
    const ran = await run(
      envd.url,
      'echo $(id -u) $(pwd) $GIVEN $E2B_SANDBOX $E2B_SANDBOX_ID $E2B_TEMPLATE_ID',
      {
        headers,
      },
    );
    assert.equal(ran.stdout, '0 /usr yes true i123 t456\n');
    assert.deepEqual(await (await fetch(`${envd.url}/envs`, { headers })).json(), { GIVEN: 'yes' });

    assert.equal((await post(envd.url, '/init', { accessToken: 'mine' })).status, 401);
    assert.equal(
      (await post(envd.url, '/init', { accessToken: 'mine' }, { 'x-access-token': 'mine' })).status,
      401,
    );
    assert.equal((await unary(envd.url, 'process.Process/List', {}, { headers })).status, 200);
    // Who has the token may: an SDK that speaks to envd directly does.
    assert.equal((await post(envd.url, '/init', { accessToken: 'second' }, headers)).status, 204);
    assert.equal((await unary(envd.url, 'process.Process/List', {}, { headers })).status, 401);
  });

  test('what would be ignored is refused', async () => {
    await using envd = await startEnvd();
    assert.equal(
      (await post(envd.url, '/init', { volumeMounts: [{ nfs_target: 'a', path: '/b' }] })).status,
      501,
    );
    assert.equal((await post(envd.url, '/init', { timestamp: 'yesterday' })).status, 400);
    assert.equal((await post(envd.url, '/init', { volumeMounts: [], caBundle: '' })).status, 204);
    assert.equal((await fetch(`${envd.url}/init`, { method: 'POST' })).status, 204);
  });

  test('an envd that is started again asks for the same token', async () => {
    await using envd = await startEnvd();
    await post(envd.url, '/init', { accessToken: 'kept', envVars: { A: 'b' } });
    assert.equal(statSync(`${envd.folder}/state.json`).mode & 0o777, 0o600);
    await envd.stop('SIGKILL');
    await using again = await envd.startAgain();
    assert.equal((await unary(again.url, 'process.Process/List', {})).status, 401);
    const headers = { 'x-access-token': 'kept' };
    assert.equal((await run(again.url, 'echo $A', { headers })).stdout, 'b\n');
  });

  test('/start runs the service of the template: logged, detached, not listed', async () => {
    await using envd = await startEnvd();
    const response = await post(envd.url, '/start', {
      cmd: 'echo from $WHO as $(id -u) in $(pwd); echo problem >&2; exec sleep 1000',
      env: { WHO: 'the service' },
      cwd: '/usr',
      user: 'user',
    });
    assert.equal(response.status, 200);
    const { pid } = (await response.json()) as { pid: number };
    await until('its output is in the log', () => {
      const log = existsSync(`${envd.folder}/start.log`)
        ? readFileSync(`${envd.folder}/start.log`, 'utf8')
        : '';
      return log.includes('from the service as 60001 in /usr\n') && log.includes('problem\n');
    });
    assert.equal(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'), '200\n');
    assert.deepEqual((await unary(envd.url, 'process.Process/List', {})).body.processes, []);
    await envd.stop('SIGKILL');
    assert.ok(existsSync(`/proc/${pid}`), 'the service outlives envd');
    process.kill(pid, 'SIGKILL');
    const wrong = await startEnvd();
    await using _ = wrong;
    assert.equal((await post(wrong.url, '/start', { cmd: 'true', user: 'nobody-here' })).status, 401);
  });

  test('/ready runs its command until it succeeds, or says what it printed last', async () => {
    await using envd = await startEnvd();
    const waiting = post(envd.url, '/ready', { cmd: `test -e ${envd.folder}/flag`, timeoutMs: 20_000 });
    writeFileSync(`${envd.folder}/flag`, '');
    const ready = await waiting;
    assert.deepEqual([ready.status, await ready.json()], [200, { ready: true }]);
    const failed = await post(envd.url, '/ready', { cmd: 'echo not yet; exit 1', timeoutMs: 300 });
    assert.equal(failed.status, 504);
    assert.equal(((await failed.json()) as { output: string }).output, 'not yet\n');
    const hung = await post(envd.url, '/ready', { cmd: 'sleep 1000', timeoutMs: 300 });
    assert.equal(hung.status, 504);
  });

  test('/metrics has what the collector reads', async () => {
    await using envd = await startEnvd();
    await fetch(`${envd.url}/metrics`);
    const values = (await (await fetch(`${envd.url}/metrics`)).json()) as Record<string, number>;
    assert.deepEqual(Object.keys(values).sort(), [
      'cpu_count',
      'cpu_used_pct',
      'disk_total',
      'disk_used',
      'mem_cache',
      'mem_total',
      'mem_total_mib',
      'mem_used',
      'mem_used_mib',
      'ts',
    ]);
    for (const [key, value] of Object.entries(values)) assert.ok(Number.isFinite(value) && value >= 0, key);
    assert.ok(values.mem_used! > 0 && values.mem_used! < values.mem_total!);
    assert.ok(values.disk_used! <= values.disk_total!);
    assert.ok(values.cpu_used_pct! <= 100);
  });

  test('a page of a browser may use a signed URL', async () => {
    await using envd = await startEnvd();
    const asked = await fetch(`${envd.url}/files`, {
      method: 'OPTIONS',
      headers: { origin: 'https://example.org', 'access-control-request-method': 'POST' },
    });
    assert.equal(asked.status, 204);
    assert.equal(asked.headers.get('access-control-allow-origin'), '*');
    const health = await fetch(`${envd.url}/health`, { headers: { origin: 'https://example.org' } });
    assert.equal(health.headers.get('access-control-allow-origin'), '*');
    assert.equal((await fetch(`${envd.url}/health`)).headers.get('access-control-allow-origin'), null);
  });
});

test('timestamps are RFC 3339, to the nanosecond', () => {
  assert.equal(parseTimestamp(''), undefined);
  assert.equal(parseTimestamp('1970-01-01T00:00:01Z'), 1_000_000_000n);
  assert.equal(parseTimestamp('1970-01-01T00:00:01.5z'), 1_500_000_000n);
  assert.equal(parseTimestamp('1970-01-01T01:00:00.000000007+01:00'), 7n);
  for (const text of ['now', '1970-01-01', '1970-13-01T00:00:00Z'])
    assert.throws(() => parseTimestamp(text), text);
});

test('the host name has one line in /etc/hosts, and the others stay', () => {
  const once = withHost('127.0.0.1 localhost\n10.0.0.1 other\n', 'one');
  assert.equal(once, '127.0.0.1 localhost\n10.0.0.1 other\n127.0.1.1\tone\t# envd\n');
  assert.equal(withHost(once, 'two'), '127.0.0.1 localhost\n10.0.0.1 other\n127.0.1.1\ttwo\t# envd\n');
  assert.equal(withHost('', 'one'), '127.0.0.1\tlocalhost\n127.0.1.1\tone\t# envd\n');
});
