import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { startTestDoor, startTestEnvd, type TestEnvd, UID, whyNot } from '../testing/seed.ts';

describe("the HTTP of the seed's daemon", { skip: whyNot() }, () => {
  let envd: TestEnvd;
  let door: Awaited<ReturnType<typeof startTestDoor>>;
  before(async () => {
    envd = await startTestEnvd();
    door = await startTestDoor({ address: '127.0.0.1', envdPort: envd.port });
  });
  after(async () => {
    await door?.close();
    await envd?.[Symbol.asyncDispose]();
  });

  const post = async (path: string, body: unknown) => {
    const response = await fetch(`${door.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      text: await response.text(),
    };
  };
  const create = async (cmd: string, more = {}) =>
    JSON.parse((await post('/process/create', { cmd, ...more })).text).pid;
  const wait = async (pid: number) => JSON.parse((await post('/process/wait', { pid })).text);

  test('a process is created, waited for and told once', async () => {
    const { status, type, text } = await post('/process/create', {
      cmd: 'echo out $X; pwd; id -u; echo err >&2; exit 3',
      envs: { X: '1' },
      cwd: '/tmp',
      user: 'root',
    });
    assert.deepEqual([status, type], [200, 'application/json']);
    const { pid } = JSON.parse(text);
    const result = await post('/process/wait', { pid });
    assert.equal(result.type, 'application/json');
    assert.deepEqual(JSON.parse(result.text), { stdout: 'out 1\n/tmp\n0\n', stderr: 'err\n', exit_code: 3 });
    const again = await post('/process/wait', { pid });
    assert.deepEqual([again.status, again.text], [500, `process not found: ${pid}`]);
  });

  test('it is the user, at home, unless told otherwise', async () => {
    assert.equal((await wait(await create('id -u; pwd'))).stdout, `${UID}\n${envd.home}\n`);
  });

  test('a process is killed, and one that is unknown is not', async () => {
    const pid = await create('sleep 1000');
    const waiting = wait(pid);
    const killed = await post('/process/kill', { pid });
    assert.deepEqual([killed.status, killed.text], [200, '']);
    assert.equal((await waiting).exit_code, -1);
    assert.deepEqual((await post('/process/kill', { pid: 999_999 })).status, 500);
  });

  test('a result is kept for the next who waits when the first goes away', async () => {
    const pid = await create('read -t 0.3 < <(sleep 5); echo done');
    const gone = new AbortController();
    const first = fetch(`${door.url}/process/wait`, {
      method: 'POST',
      body: JSON.stringify({ pid }),
      signal: gone.signal,
    });
    setTimeout(() => gone.abort(), 50);
    await assert.rejects(first);
    assert.equal((await wait(pid)).stdout, 'done\n');
  });

  test('what cannot be started says why', async () => {
    const missing = await post('/process/create', { cmd: 'true', cwd: '/no/such' });
    assert.deepEqual([missing.status, missing.text], [500, 'fork/exec /bin/bash: no such file or directory']);
    assert.equal((await post('/process/create', { cmd: 'true', user: 'nobody-such' })).status, 500);
    for (const body of [{}, { cmd: 1 }, { cmd: '', envs: { X: 1 } }, { cmd: '', cwd: 7 }, [], 'text', null]) {
      assert.equal((await post('/process/create', body)).status, 400, JSON.stringify(body));
    }
    for (const body of [{}, { pid: '1' }, { pid: 1.5 }])
      assert.equal((await post('/process/wait', body)).status, 400);
  });

  const upload = (parts: [string, string | Blob, string?][], query = '') => {
    const form = new FormData();
    for (const [name, value, filename] of parts) {
      if (typeof value === 'string') form.append(name, value);
      else form.append(name, value, filename);
    }
    return fetch(`${door.url}/file${query}`, { method: 'POST', body: form });
  };

  test('a file goes into the home of the user, whose it is, and comes back', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7) % 256));
    const response = await upload([['file', new Blob([bytes]), '../../up ☃.bin']]);
    assert.deepEqual([response.status, await response.text()], [200, '']);
    const path = `${envd.home}/up ☃.bin`;
    assert.deepEqual(readFileSync(path), bytes);
    assert.equal(statSync(path).uid, UID);
    const back = await fetch(`${door.url}/file?path=${encodeURIComponent(path)}`);
    assert.equal(back.status, 200);
    assert.deepEqual(Buffer.from(await back.arrayBuffer()), bytes);
    assert.equal(back.headers.get('content-length'), '300000');
    assert.equal(back.headers.get('content-disposition'), "attachment; filename*=UTF-8''up%20%E2%98%83.bin");
  });

  test('a path is taken from the query or from the form, before the file or after it', async () => {
    const file: [string, Blob, string] = ['file', new Blob(['x']), 'name'];
    const at = (name: string) => `${envd.home}/paths/${name}`;
    mkdirSync(`${envd.home}/paths`);
    for (const [response, path] of [
      [upload([file], `?path=${at('query')}`), at('query')],
      [upload([['path', at('before')], file]), at('before')],
      [upload([file, ['path', at('after')]]), at('after')],
      [
        upload(
          [['other', 'y'.repeat(200_000)], file, ['file', new Blob(['second']), 'b']],
          `?path=${at('first')}`,
        ),
        at('first'),
      ],
    ] as const) {
      assert.equal((await response).status, 200);
      assert.equal(readFileSync(path, 'utf8'), 'x');
      assert.equal(statSync(path).uid, UID);
    }
    assert.ok(!existsSync(`${envd.home}/name`));
    assert.equal((await upload([['file', new Blob([]), 'empty']])).status, 200);
    assert.equal(statSync(`${envd.home}/empty`).size, 0);
  });

  test('what is no upload is refused', async () => {
    assert.equal((await upload([['other', 'x']])).status, 400);
    assert.equal((await upload([['file', new Blob(['x']), '..']])).status, 400);
    assert.equal((await upload([['file', new Blob(['x']), 'a']], '?path=/etc/passwd/x')).status, 400);
    for (const [type, body] of [
      ['text/plain', 'x'],
      ['multipart/form-data', '--x--'],
      ['multipart/form-data; boundary=x', ''],
      ['multipart/form-data; boundary=x', 'no delimiter at all'],
      ['multipart/form-data; boundary=x', '--x\r\nno end of head'],
      ['multipart/form-data; boundary=x', `--x\r\n${'h'.repeat(20_000)}`],
      [
        'multipart/form-data; boundary=x',
        '--x\r\nContent-Disposition: form-data; name="file"; filename="cut"\r\n\r\nhalf',
      ],
    ] as const) {
      const { status } = await fetch(`${door.url}/file`, {
        method: 'POST',
        body,
        headers: { 'Content-Type': type },
      });
      assert.equal(status, 400, `${type} ${body.slice(0, 30)}`);
    }
    assert.ok(!existsSync(`${envd.home}/cut`), 'half a file is taken away again');
  });

  test('an upload whose client goes away leaves nothing', async () => {
    const sent = request(`${door.url}/file`, {
      method: 'POST',
      headers: { 'Content-Type': 'multipart/form-data; boundary=x', 'Content-Length': '1000000' },
    });
    sent.on('error', () => {});
    sent.write(
      '--x\r\nContent-Disposition: form-data; name="file"; filename="gone"\r\n\r\nhalf of it, and more',
    );
    while (!existsSync(`${envd.home}/gone`)) await new Promise((resolve) => setTimeout(resolve, 10));
    sent.destroy();
    while (existsSync(`${envd.home}/gone`)) await new Promise((resolve) => setTimeout(resolve, 10));
  });

  test('a download that cannot be says why', async () => {
    const textOf = async (query: string) => {
      const response = await fetch(`${door.url}/file${query}`);
      return [response.status, await response.text()];
    };
    assert.equal((await textOf(''))[0], 400);
    assert.deepEqual(await textOf('?path=/no/such'), [404, 'File not found: /no/such']);
    assert.equal((await textOf('?path=/etc'))[0], 400);
    writeFileSync(`${envd.home}/plain`, 'x');
    const head = await fetch(`${door.url}/file?path=${envd.home}/plain`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('content-length')], [200, '1']);
  });

  test('metrics are what Prometheus reads', async () => {
    for (let round = 0; round < 2; round++) {
      const response = await fetch(`${door.url}/metrics`);
      const text = await response.text();
      assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
      for (const line of text.trimEnd().split('\n')) {
        assert.match(line, /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{\w+="[\w.-]+"\})? -?\d+(?:\.\d+)?)$/);
      }
      for (const name of [
        'cpu_percent{cpuid="cpu0"}',
        ...[
          'active_file',
          'inactive_file',
          'active_anon',
          'inactive_anon',
          'available',
          'free',
          'cached',
          'used',
          'swapfree',
        ].map((kind) => `fcvm_mem_${kind}`),
        ...['tx_bytes', 'rx_bytes', 'tx_pkt', 'rx_pkt'].map((kind) => `fcvm_net_${kind}{interface="lo"}`),
      ]) {
        assert.ok(text.includes(`\n${name} `), name);
      }
    }
  });

  test('ping, sync, verbs and paths', async () => {
    const statusOf = async (path: string, init: RequestInit = {}) =>
      (await fetch(`${door.url}${path}`, init)).status;
    assert.equal(await (await fetch(`${door.url}/ping`)).text(), 'pong');
    assert.equal(await statusOf('/sync', { method: 'POST', body: 'x' }), 200);
    const wrong = await fetch(`${door.url}/process/create`);
    assert.deepEqual([wrong.status, await wrong.text()], [405, 'Invalid request method']);
    assert.equal(await statusOf('/file', { method: 'DELETE' }), 405);
    assert.equal(await statusOf('/ws'), 400);
    for (const path of [
      '',
      '/',
      '/init',
      '/files?path=/etc/passwd',
      '/health',
      '//ping',
      '/ping/',
      '/%70ing',
      '/debug/pprof/',
    ]) {
      assert.equal(await statusOf(path), 404, path);
    }
    const preflight = await fetch(`${door.url}/file`, { method: 'OPTIONS' });
    assert.deepEqual([preflight.status, preflight.headers.get('access-control-allow-origin')], [200, '*']);
  });

  test('whoever waits is answered when the sandbox ends', async () => {
    const pid = await create('sleep 1000');
    const waiting = post('/process/wait', { pid });
    await post('/ping', {});
    door.drop('0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9');
    const { status, text } = await waiting;
    assert.deepEqual([status, JSON.parse(text).message], [502, 'The sandbox was not found']);
    assert.equal((await post('/process/kill', { pid })).status, 500, 'and the process is forgotten');
  });
});
