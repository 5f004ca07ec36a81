import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  connectRpc,
  ID,
  type Message,
  startTestDoor,
  startTestEnvd,
  type TestEnvd,
  UID,
  whyNot,
} from '../testing/seed.ts';

describe('the services of the seed', { skip: whyNot() }, () => {
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

  type Rpc = Awaited<ReturnType<typeof connectRpc>>;
  const listen = async (rpc: Rpc, id: string) => {
    const [exit, stdout, stderr] = await Promise.all(
      ['onExit', 'onStdout', 'onStderr'].map((topic) => rpc.call('process_subscribe', topic, id)),
    );
    return { exit, stdout, stderr };
  };
  const run = async (rpc: Rpc, id: string, line: string, env = {}, cwd = '') => {
    const topics = await listen(rpc, id);
    assert.equal(await rpc.call('process_start', id, line, env, cwd), id);
    const code = await rpc.note(topics.exit);
    const lines = (topic: string) => rpc.notesOf(topic).map((note) => note.line);
    return { code, stdout: lines(topics.stdout), stderr: lines(topics.stderr), topics };
  };

  test('a process runs as the user, in a login shell, at home', async () => {
    await using rpc = await connectRpc(door.url);
    const { code, stdout } = await run(
      rpc,
      'who',
      'id -u; pwd; echo $HOME $X; shopt -q login_shell && echo login',
      {
        X: 'a "b" $c',
      },
    );
    assert.equal(code, 0);
    assert.deepEqual(stdout, [String(UID), envd.home, `${envd.home} a "b" $c`, 'login']);
  });

  test('lines come without their ends, in order, with nanoseconds, and before the exit', async () => {
    await using rpc = await connectRpc(door.url);
    const { code, stdout, stderr, topics } = await run(
      rpc,
      'lines',
      "printf 'a\\r\\n\\nh\\303\\251'; sleep 0.1; printf 'llo\\nno end'; echo err >&2; exit 7",
    );
    assert.deepEqual([code, stdout, stderr], [7, ['a', '', 'héllo', 'no end'], ['err']]);
    const last = rpc.heard.at(-1);
    assert.equal(last.params.subscription, topics.exit);
    const [first, second] = rpc.notesOf(topics.stdout);
    assert.deepEqual(Object.keys(first), ['type', 'line', 'timestamp']);
    assert.equal(first.type, 'Stdout');
    assert.ok(first.timestamp > Date.now() * 1e6 - 60e9 && first.timestamp < Date.now() * 1e6 + 1e9);
    assert.ok(second.timestamp >= first.timestamp);
  });

  test('timestamps are integers in the text, never the same twice', async () => {
    await using rpc = await connectRpc(door.url);
    const seen: bigint[] = [];
    rpc.socket.on('message', (data) => {
      const digits = /"timestamp":(\d{19})\}/.exec(String(data))?.[1];
      if (digits) seen.push(BigInt(digits));
    });
    await run(rpc, 'stamps', 'seq 1 100');
    assert.equal(seen.length, 100);
    assert.ok(seen.every((stamp, at) => at === 0 || stamp > seen[at - 1]!));
  });

  test('a signal is -1, and a kill takes what the shell started with it', async () => {
    await using rpc = await connectRpc(door.url);
    assert.equal((await run(rpc, 'self', 'kill -9 $$')).code, -1);
    const { exit, stdout } = await listen(rpc, 'killed');
    await rpc.call('process_start', 'killed', 'sleep 1000 & echo $!; wait', {}, '');
    const { line } = await rpc.note(stdout);
    assert.equal(await rpc.call('process_kill', 'killed'), null);
    assert.equal(await rpc.note(exit), -1);
    assert.throws(() => {
      if (!readFileSync(`/proc/${line}/stat`, 'utf8').includes(') Z ')) return;
      throw new Error('it is a zombie');
    });
    assert.equal(await rpc.call('process_kill', 'never was'), null);
  });

  test('input arrives in the order in which it was sent', async () => {
    await using rpc = await connectRpc(door.url);
    const { stdout } = await listen(rpc, 'input');
    await rpc.call('process_start', 'input', 'while read line; do echo "got $line"; done', {}, '');
    const texts = Array.from({ length: 30 }, (_, at) => `line ${at}`);
    const answers = await Promise.all(texts.map((text) => rpc.call('process_stdin', 'input', `${text}\n`)));
    assert.ok(answers.every((answer) => answer === null));
    await rpc.note(stdout, ({ line }) => line === 'got line 29');
    assert.deepEqual(
      rpc.notesOf(stdout).map(({ line }) => line),
      texts.map((text) => `got ${text}`),
    );
    const { error } = await rpc.ask('process_stdin', 'no such', 'x');
    assert.deepEqual(error, { code: -32000, message: "error finding process 'no such'" });
  });

  test('a folder that is not there is told in the words that clients look for', async () => {
    await using rpc = await connectRpc(door.url);
    const { error } = await rpc.ask('process_start', 'abc123', 'true', {}, '/no/such');
    assert.deepEqual(error, {
      code: -32000,
      message: "error starting process 'abc123': fork/exec /bin/bash: no such file or directory",
    });
    assert.equal((await run(rpc, 'abc123', 'pwd', {}, '/tmp')).stdout[0], '/tmp', 'and the id is free');
  });

  test('a process has one start, survives its client, and is heard by the next', async () => {
    const first = await connectRpc(door.url);
    const ids = await Promise.all(
      [1, 2, 3].map(() => first.call('process_start', 'once', 'read x; echo $x; exit 3', {}, '')),
    );
    assert.deepEqual(ids, ['once', 'once', 'once']);
    await first[Symbol.asyncDispose]();
    await using second = await connectRpc(door.url);
    const { exit, stdout } = await listen(second, 'once');
    assert.equal(await second.call('process_start', 'once', 'echo another', {}, ''), 'once');
    await second.call('process_stdin', 'once', 'hello\n');
    assert.equal(await second.note(exit), 3);
    assert.deepEqual(
      second.notesOf(stdout).map(({ line }) => line),
      ['hello'],
    );
    assert.match(await second.call('process_start', '', 'true', {}, ''), /^\w+$/);
  });

  test('output comes before the exit, also when its subscription came later', async () => {
    await using rpc = await connectRpc(door.url);
    await rpc.call('process_start', 'late', 'read x; echo $x', {}, '');
    const exit = await rpc.call('process_subscribe', 'onExit', 'late');
    await sleep(30); // both are held back for longer than that
    const stdout = await rpc.call('process_subscribe', 'onStdout', 'late');
    await rpc.call('process_stdin', 'late', 'hello\n');
    assert.equal(await rpc.note(exit), 0);
    assert.equal(rpc.notesOf(stdout)[0]?.line, 'hello');
  });

  test('an answer to a subscription comes before what it tells', async () => {
    await using rpc = await connectRpc(door.url);
    await rpc.call('process_start', 'busy', 'while :; do echo x; sleep 0.01; done', {}, '');
    for (let round = 0; round < 10; round++) {
      const id = await rpc.call('process_subscribe', 'onStdout', 'busy');
      await rpc.note(id);
      const answered = rpc.heard.findIndex((message) => message.result === id);
      const told = rpc.heard.findIndex((message) => message.params?.subscription === id);
      assert.ok(answered < told);
      assert.equal(await rpc.call('process_unsubscribe', id), true);
      const count = rpc.notesOf(id).length;
      await rpc.call('filesystem_list', '/');
      assert.equal(rpc.notesOf(id).length, count, 'and nothing comes after the end of it');
      rpc.heard.length = 0;
    }
    await rpc.call('process_kill', 'busy');
  });

  test('a terminal has a size, an environment, and an end', async () => {
    await using rpc = await connectRpc(door.url);
    const [data, exit] = await Promise.all([
      rpc.call('terminal_subscribe', 'onData', 't1'),
      rpc.call('terminal_subscribe', 'onExit', 't1'),
    ]);
    assert.equal(await rpc.call('terminal_start', 't1', 91, 33, { Y: 'yes' }, null, ''), 't1');
    const shown = () => rpc.notesOf(data).join('');
    const sees = async (text: string) => {
      while (!shown().includes(text)) await rpc.note(data, () => shown().includes(text));
    };
    assert.equal(
      await rpc.call('terminal_data', 't1', 'stty size; echo $TERM $Y; pwd; echo h\u00e9$((1+1))\n'),
      null,
    );
    await sees('33 91');
    await sees('xterm yes\r\n/\r\n');
    await sees('hé2');
    assert.equal(await rpc.call('terminal_resize', 't1', 120, 40), null);
    await rpc.call('terminal_data', 't1', 'stty size\n');
    await sees('40 120');
    assert.equal(await rpc.call('terminal_destroy', 't1'), null);
    assert.deepEqual(await rpc.note(exit), {});
    assert.equal(await rpc.call('terminal_destroy', 't1'), null);
    for (const [method, ...params] of [
      ['terminal_data', 't1', 'x'],
      ['terminal_resize', 't1', 1, 1],
    ] as const) {
      const { error } = await rpc.ask(method, ...params);
      assert.deepEqual(error, { code: -32000, message: "error finding terminal 't1'" });
    }
  });

  test('a terminal runs a command, at home when no folder is given', async () => {
    await using rpc = await connectRpc(door.url);
    const data = await rpc.call('terminal_subscribe', 'onData', 't2');
    const exit = await rpc.call('terminal_subscribe', 'onExit', 't2');
    await rpc.call('terminal_start', 't2', 80, 24, {}, 'pwd; tty');
    await rpc.note(exit);
    assert.match(rpc.notesOf(data).join(''), new RegExp(`${envd.home}\r\n/dev/pts/\\d+`));
    const { error } = await rpc.ask('terminal_start', 't3', 80, 24, {}, null, '/no/such');
    assert.match(error.message, /^error starting new terminal 't3': .*no such file or directory$/);
  });

  test('files are written as root, can be run, and keep what they were', async () => {
    await using rpc = await connectRpc(door.url);
    const path = `${envd.home}/made`;
    assert.equal(await rpc.call('filesystem_write', path, 'text ☃'), null);
    assert.equal(await rpc.call('filesystem_read', `${envd.home}/./x/../made`), 'text ☃');
    const { mode, uid } = statSync(path);
    assert.deepEqual([mode & 0o777, uid], [0o755, 0]);
    const own = `${envd.home}/own`;
    await run(rpc, 'own', `umask 077; echo old > ${own}`);
    await rpc.call('filesystem_writeBase64', own, Buffer.from([0, 255, 10]).toString('base64'));
    assert.deepEqual([statSync(own).mode & 0o777, statSync(own).uid, statSync(own).size], [0o600, UID, 3]);
    assert.equal(await rpc.call('filesystem_readBase64', own), 'AP8K');
  });

  test('folders are listed, made and removed', async () => {
    await using rpc = await connectRpc(door.url);
    const root = `${envd.home}/tree`;
    assert.equal(await rpc.call('filesystem_makeDir', `${root}/b/c`), null);
    assert.equal(await rpc.call('filesystem_makeDir', `${root}/b/c`), null);
    assert.equal(statSync(`${root}/b/c`).uid, UID);
    await rpc.call('filesystem_write', `${root}/a`, '');
    assert.deepEqual(await rpc.call('filesystem_list', root), [
      { name: 'a', isDir: false },
      { name: 'b', isDir: true },
    ]);
    assert.equal(await rpc.call('filesystem_remove', root), null);
    assert.equal(await rpc.call('filesystem_remove', root), null);
    assert.equal(statSync(root, { throwIfNoEntry: false }), undefined);
  });

  test('what fails on a path says so in the words of the system', async () => {
    await using rpc = await connectRpc(door.url);
    const messageOf = async (method: string, ...params: unknown[]) => {
      const { error } = await rpc.ask(method, ...params);
      assert.equal(error.code, -32000);
      return error.message;
    };
    const odd = `/no/'"\n/such`;
    assert.equal(
      await messageOf('filesystem_read', odd),
      `error reading file '${odd}': open ${odd}: no such file or directory`,
    );
    assert.equal(
      await messageOf('filesystem_list', '/no'),
      "error listing files in '/no': open /no: no such file or directory",
    );
    assert.equal(
      await messageOf('filesystem_write', '/no/such', ''),
      "error writing to file '/no/such': open /no/such: no such file or directory",
    );
    assert.match(await messageOf('filesystem_read', '/etc'), /: is a directory$/);
    assert.match(await messageOf('filesystem_list', '/etc/passwd'), /: not a directory$/);
    assert.match(await messageOf('filesystem_read', 'a\0b'), /^error reading file/);
    assert.match(await messageOf('filesystem_remove', '/'), /^error removing file or directory/);
    assert.match(await messageOf('filesystem_writeBase64', '/tmp/x', '!'), /illegal base64/);
  });

  test('a watch tells what happens in the folder, and a file written again is a Write', async () => {
    await using rpc = await connectRpc(door.url);
    const folder = `${envd.home}/watched`;
    mkdirSync(`${folder}/below`, { recursive: true });
    writeFileSync(`${folder}/test.txt`, 'old');
    const id = await rpc.call('filesystem_subscribe', 'watchDir', folder);
    writeFileSync(`${folder}/below/unseen`, '');
    await rpc.call('filesystem_write', `${folder}/test.txt`, 'new');
    const first = await rpc.note(id);
    assert.equal(typeof first.timestamp, 'number');
    const { timestamp: _, ...rest } = first;
    assert.deepEqual(rest, {
      path: `${folder}/test.txt`,
      name: 'test.txt',
      operation: 'Write',
      isDir: false,
    });
    mkdirSync(`${folder}/made`);
    assert.equal((await rpc.note(id, ({ name }) => name === 'made')).isDir, true);
    chmodSync(`${folder}/test.txt`, 0o600);
    await rpc.note(id, ({ operation }) => operation === 'Chmod');
    rmSync(`${folder}/test.txt`);
    await rpc.note(id, ({ operation }) => operation === 'Remove');
    assert.ok(rpc.notesOf(id).every(({ name }) => name !== 'unseen'));
    assert.equal(await rpc.call('filesystem_unsubscribe', id), true);
    const count = rpc.notesOf(id).length;
    appendFileSync(`${folder}/later`, '');
    const again = await rpc.call('filesystem_subscribe', 'watchDir', folder);
    appendFileSync(`${folder}/later`, 'x');
    await rpc.note(again);
    assert.equal(rpc.notesOf(id).length, count);
  });

  test('what cannot be watched is told', async () => {
    await using rpc = await connectRpc(door.url);
    const messageOf = async (path: string) =>
      (await rpc.ask('filesystem_subscribe', 'watchDir', path)).error.message;
    assert.equal(
      await messageOf('/no'),
      "error adding path to dwatcher: '/no': doesn't exist. Only existing paths are supported",
    );
    assert.match(
      await messageOf('/etc/passwd'),
      /^error adding path to dwatcher: '\/etc\/passwd': is not a directory/,
    );
  });

  test('the sockets of the guest are told again and again', async () => {
    await using rpc = await connectRpc(door.url);
    const server = createServer().listen(0, '127.0.0.1');
    const id = await rpc.call('codeSnippet_subscribe', 'scanOpenedPorts');
    const { port } = server.address() as { port: number };
    const isThere = (rows: Message[]) =>
      rows.some((row) => row.Port === port && row.State === 'LISTEN' && row.Ip === '127.0.0.1');
    await rpc.note(id, isThere);
    server.close();
    await rpc.note(id, (rows) => !isThere(rows));
  });

  test('the errors of the protocol have their codes and words', async () => {
    await using rpc = await connectRpc(door.url);
    for (const [method, params, code, message] of [
      ['foo_bar', [], -32601, 'the method foo_bar does not exist/is not available'],
      ['process', [], -32601, 'the method process does not exist/is not available'],
      ['process_constructor', [], -32601, 'the method process_constructor does not exist/is not available'],
      ['__proto___x', [], -32601, 'the method __proto___x does not exist/is not available'],
      ['process_subscribe', ['onNothing', 'x'], -32601, 'no "onNothing" subscription in process namespace'],
      ['process_subscribe', [1], -32602, 'expected subscription name as first argument'],
      ['process_subscribe', {}, -32602, 'non-array args'],
      ['process_subscribe', ['onExit'], -32602, 'missing value for required argument 1'],
      ['process_start', {}, -32602, 'non-array args'],
      ['process_start', ['a', 'b', {}], -32602, 'missing value for required argument 3'],
      ['process_kill', ['a', 'b'], -32602, 'too many arguments, want at most 1'],
      [
        'process_kill',
        [1],
        -32602,
        'invalid argument 0: json: cannot unmarshal number into Go value of type string',
      ],
      [
        'process_start',
        ['a', 'b', { X: 1 }, ''],
        -32602,
        'invalid argument 2: json: cannot unmarshal number into Go value of type string',
      ],
      [
        'terminal_start',
        ['a', -1, 2],
        -32602,
        'invalid argument 1: json: cannot unmarshal number -1 into Go value of type uint16',
      ],
      ['process_unsubscribe', ['0x1'], -32000, 'subscription not found'],
    ] as const) {
      rpc.socket.send(
        JSON.stringify({ jsonrpc: '2.0', id: method + JSON.stringify(params), method, params }),
      );
      const answer = await rpc.hear(({ id }) => id === method + JSON.stringify(params));
      assert.deepEqual(answer.error, { code, message });
      assert.ok(!('result' in answer));
    }
  });

  test('a batch is answered as one, notifications and answers are not', async () => {
    await using rpc = await connectRpc(door.url);
    const call = (id: unknown, method: string, params: unknown[]) => ({ jsonrpc: '2.0', id, method, params });
    rpc.socket.send(
      JSON.stringify([
        call(1, 'filesystem_write', [`${envd.home}/batch`, '1']),
        { jsonrpc: '2.0', method: 'filesystem_write', params: [`${envd.home}/batch`, '2'] },
        { jsonrpc: '2.0', id: 9, result: 'nobody asked' },
        call('two', 'filesystem_read', [`${envd.home}/batch`]),
        7,
        call(3, 'process_subscribe', ['onExit', 'batched']),
      ]),
    );
    const [one, two, wrong, three] = await rpc.hear(Array.isArray);
    assert.deepEqual(one, { jsonrpc: '2.0', id: 1, result: null });
    assert.deepEqual(two, { jsonrpc: '2.0', id: 'two', result: '2' });
    assert.deepEqual(wrong, {
      jsonrpc: '2.0',
      id: null,
      error: { code: -32600, message: 'invalid request' },
    });
    await rpc.call('process_start', 'batched', 'exit 4', {}, '');
    assert.equal(await rpc.note(three.result), 4);
    rpc.socket.send('[]');
    await rpc.hear(({ error }) => error?.message === 'empty batch');
    rpc.socket.send('{');
    await rpc.hear(({ error }) => error?.code === -32700);
  });

  test('a sandbox that ends takes its connections and the names of its processes along', async () => {
    const rpc = await connectRpc(door.url);
    await rpc.call('process_start', 'gone', 'read x', {}, '');
    const ended = new Promise((resolve) => rpc.socket.once('close', resolve));
    door.drop(ID);
    await ended;
    await using next = await connectRpc(door.url);
    const { error } = await next.ask('process_stdin', 'gone', 'x');
    assert.equal(error.message, "error finding process 'gone'");
  });
});
