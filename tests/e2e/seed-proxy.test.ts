import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client, credentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { WebSocket } from 'ws';
import { connectRpc, type Message } from '../../packages/gateway/src/seed/testing/seed.ts';
import { checkout, ensureDefaultTemplate, startServer, type TestServer } from '../harness/server.ts';

const START_LOG = 'sudo journalctl --follow --lines=all -o cat _SYSTEMD_UNIT=start_cmd.service';

describe("the seed's data plane, with a real machine", () => {
  let server: TestServer;
  let id: string;
  let base: string;
  let url: string;
  before(async () => {
    ensureDefaultTemplate();
    server = await startServer();
    id = randomUUID();
    const info = await control('Create', {
      templateID: 'default-sandbox',
      sandboxID: id,
      maxInstanceLength: 3,
    });
    base = `${server.seedProxyUrl}/${info.info.privateIP}`;
    url = `${base}/49982`;
  });
  after(() => server?.[Symbol.asyncDispose]());

  const control = (name: 'Create' | 'Delete', request: object): Promise<Message> => {
    const definitions = loadSync(join(checkout, 'proto/seed/sandbox.proto'), { keepCase: true });
    const method = (definitions.Sandbox as ServiceDefinition)[name]!;
    const client = new Client(server.seedControlAddress, credentials.createInsecure());
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        (error, answer) => {
          client.close();
          if (error) reject(error);
          else resolve(answer);
        },
      );
    });
  };
  type Rpc = Awaited<ReturnType<typeof connectRpc>>;
  const run = async (rpc: Rpc, line: string, cwd = '') => {
    const name = randomUUID().replaceAll('-', '');
    const [exit, stdout, stderr] = await Promise.all(
      ['onExit', 'onStdout', 'onStderr'].map((topic) => rpc.call('process_subscribe', topic, name)),
    );
    await rpc.call('process_start', name, line, { PYTHONUNBUFFERED: '1' }, cwd);
    const code = await rpc.note(exit);
    const text = (topic: string) =>
      rpc
        .notesOf(topic)
        .map((note) => note.line)
        .join('\n');
    return { code, stdout: text(stdout), stderr: text(stderr) };
  };

  test('a process is the user, whose home and /code are hers to write', async () => {
    await using rpc = await connectRpc(url, { perMessageDeflate: true });
    assert.equal(await rpc.call('filesystem_makeDir', '/code/app'), null);
    const line =
      'pwd; whoami; echo $HOME $SHELL; touch /code/app/x ~/y && echo wrote; python3 --version >&2; exit 3';
    const { code, stdout, stderr } = await run(rpc, line, '/code/app');
    assert.deepEqual([code, stdout], [3, '/code/app\nuser\n/home/user /bin/bash\nwrote']);
    assert.match(stderr, /^Python 3|not found/);
    assert.equal((await run(rpc, 'sudo -n id -u')).stdout, '0');
  });

  test('the output of a start command that there is not is nothing', async () => {
    await using rpc = await connectRpc(url);
    assert.deepEqual(await run(rpc, START_LOG, '/'), { code: 0, stdout: '', stderr: '' });
  });

  test('a process that is killed ends with -1, after what it said', async () => {
    await using rpc = await connectRpc(url);
    assert.deepEqual(await run(rpc, 'printf said; kill -9 $$'), { code: -1, stdout: 'said', stderr: '' });
  });

  test('a terminal is one', async () => {
    await using rpc = await connectRpc(url);
    const data = await rpc.call('terminal_subscribe', 'onData', 'term');
    const exit = await rpc.call('terminal_subscribe', 'onExit', 'term');
    await rpc.call('terminal_start', 'term', 100, 30, {}, null, '');
    await rpc.call('terminal_data', 'term', 'tty; stty size; pwd; echo $TERM\n');
    const shown = () => rpc.notesOf(data).join('');
    await rpc.note(data, () => /\/dev\/pts\/\d+\r\n30 100\r\n\/\r\nxterm\r\n/.test(shown()));
    await rpc.call('terminal_resize', 'term', 60, 20);
    await rpc.call('terminal_data', 'term', 'stty size\nexit\n');
    assert.deepEqual(await rpc.note(exit), {});
    assert.match(shown(), /20 60/);
  });

  test('files are written, read, watched, listed and removed', async () => {
    await using rpc = await connectRpc(url);
    await rpc.call('filesystem_write', '/home/user/../../hello.sh', '#!/bin/sh\necho ran\n');
    assert.equal((await run(rpc, '/hello.sh; stat -c "%U %a" /hello.sh')).stdout, 'ran\nroot 755');
    await rpc.call('filesystem_write', '/tmp/test.txt', 'one');
    const watch = await rpc.call('filesystem_subscribe', 'watchDir', '/tmp');
    await rpc.call('filesystem_write', '/tmp/test.txt', 'two');
    const event = await rpc.note(watch);
    assert.deepEqual(
      [event.path, event.name, event.operation, event.isDir],
      ['/tmp/test.txt', 'test.txt', 'Write', false],
    );
    assert.equal(await rpc.call('filesystem_read', '/tmp/test.txt'), 'two');
    assert.ok(
      (await rpc.call('filesystem_list', '/')).some(
        (entry: Message) => entry.name === 'hello.sh' && !entry.isDir,
      ),
    );
    await rpc.call('filesystem_remove', '/hello.sh');
    assert.match(
      (await rpc.ask('filesystem_read', '/hello.sh')).error.message,
      /^error reading file '\/hello\.sh': /,
    );
  });

  test('a server in the guest is told of, and reached by its port', async () => {
    await using rpc = await connectRpc(url);
    const ports = await rpc.call('codeSnippet_subscribe', 'scanOpenedPorts');
    await rpc.call('process_start', 'web', 'exec python3 -m http.server 8123 --bind 127.0.0.1', {}, '/code');
    await rpc.note(ports, (rows) => rows.some((row: Message) => row.Port === 8123 && row.State === 'LISTEN'));
    const response = await fetch(`${base}/8123/app/`);
    assert.equal(response.status, 200);
    await rpc.call('process_kill', 'web');
    const closed = await fetch(`${base}/8123/app/`);
    assert.equal(closed.status, 502);
  });

  test('envd and its tunnel are not to be had', async () => {
    assert.equal((await fetch(`${base}/49983/health`)).status, 502);
    assert.equal((await fetch(`${base}/49982/health`)).status, 404);
    assert.equal((await fetch(`${server.seedProxyUrl}/${id}/49982/ping`)).status, 502);
    assert.equal((await fetch(`${server.seedProxyUrl}/${id}.${'0'.repeat(32)}/49982/ping`)).status, 502);
  });

  test('a file of 100 MB goes up and comes back', { timeout: 10 * 60_000 }, async () => {
    const bytes = Buffer.alloc(100 * 1024 * 1024);
    for (let at = 0; at < bytes.length; at += 4096) bytes.writeUInt32LE(at, at);
    const form = new FormData();
    form.append('file', new Blob([bytes]), 'large.bin');
    const up = await fetch(`${url}/file`, { method: 'POST', body: form });
    assert.deepEqual([up.status, await up.text()], [200, '']);
    const down = await fetch(`${url}/file?path=/home/user/large.bin`);
    const sum = createHash('sha256');
    for await (const chunk of down.body!) sum.update(chunk);
    assert.equal(sum.digest('hex'), createHash('sha256').update(bytes).digest('hex'));
  });

  test('simple processes, metrics and ping', async () => {
    const post = (path: string, body: object) =>
      fetch(`${url}${path}`, { method: 'POST', body: JSON.stringify(body) });
    const { pid } = (await (
      await post('/process/create', { cmd: 'echo hi; whoami', user: 'root' })
    ).json()) as Message;
    assert.deepEqual(await (await post('/process/wait', { pid })).json(), {
      stdout: 'hi\nroot\n',
      stderr: '',
      exit_code: 0,
    });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    assert.match(metrics, /^cpu_percent\{cpuid="cpu0"\} /m);
    assert.match(metrics, /^fcvm_net_rx_bytes\{interface="eth0"\} [1-9]/m);
    assert.equal(await (await fetch(`${url}/ping`)).text(), 'pong');
  });

  test('a process outlives its client, and ends with its sandbox', async () => {
    const first = await connectRpc(url);
    await first.call('process_start', 'lasting', 'read x; echo "got $x"; sleep 1000', {}, '');
    await first[Symbol.asyncDispose]();
    const second = await connectRpc(url);
    const stdout = await second.call('process_subscribe', 'onStdout', 'lasting');
    await second.call('process_stdin', 'lasting', 'word\n');
    assert.equal((await second.note(stdout)).line, 'got word');
    const closed = once(second.socket, 'close');
    await control('Delete', { sandboxID: id });
    await closed;
    const refused = new WebSocket(`${url.replace('http', 'ws')}/ws`);
    refused.on('error', () => {});
    const [, response] = await once(refused, 'unexpected-response');
    assert.equal(response.statusCode, 502);
    refused.terminate();
  });
});
