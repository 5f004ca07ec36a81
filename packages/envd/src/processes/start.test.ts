import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { collect, run, stream, unary, until } from '../testing/rpc.ts';
import { startEnvd, type TestEnvd, whyNot } from '../testing/start-envd.ts';

const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

describe('processes', { skip: whyNot() }, () => {
  let envd: TestEnvd;
  before(async () => {
    envd = await startEnvd({ groups: '0,4,27' });
  });
  after(async () => {
    await envd?.[Symbol.asyncDispose]();
  });

  test('the first message is the pid, then output, then the end, then the end of the stream', async () => {
    await using calls = await stream(envd.url, 'process.Process/Start', {
      process: { cmd: '/bin/bash', args: ['-c', 'echo out; echo err >&2; exit 3'] },
      stdin: false,
    });
    assert.equal(calls.response.headers['content-type'], 'application/connect+json');
    const all = await calls.rest();
    assert.ok(all[0]?.message.event.start.pid > 0);
    assert.deepEqual(all.at(-1), { flags: 2, message: {} });
    assert.deepEqual(all.at(-2)?.message.event.end, {
      exitCode: 3,
      exited: true,
      status: 'exit status 3',
      error: 'exit status 3',
    });
    assert.deepEqual([collect(all).stdout, collect(all).stderr], ['out\n', 'err\n']);
  });

  test('an exit code of 0 is left out, as protobuf has it', async () => {
    const { end } = await run(envd.url, 'true');
    assert.deepEqual(end, { exited: true, status: 'exit status 0' });
  });

  test('a process that a signal ended says so', async () => {
    const { end } = await run(envd.url, 'kill -9 $$');
    assert.deepEqual(end, { exitCode: -1, status: 'signal: killed', error: 'signal: killed' });
    assert.equal((await run(envd.url, 'kill -TERM $$')).end.status, 'signal: terminated');
  });

  test("a user without other groups has none of root's", async () => {
    const { stdout } = await run(envd.url, 'id -u; id -g; grep ^Groups /proc/self/status', { user: 'user' });
    assert.match(stdout, /^60001\n60001\nGroups:\t\s*\n$/);
    const root = await run(envd.url, 'grep ^Groups /proc/self/status', { user: 'root' });
    assert.match(root.stdout, /^Groups:\t\s*\n$/);
  });

  test('a user with more groups has them all and no others', async () => {
    const { stdout } = await run(envd.url, 'id -u; id -g; id -G', { user: 'many' });
    assert.deepEqual(stdout.trim().split('\n'), ['60002', '60002', '60002 60027 60044']);
  });

  test('what the user tells the loader has no effect while groups are set', async () => {
    const { stdout, stderr } = await run(envd.url, 'echo $LD_PRELOAD:$OTHER', {
      user: 'many',
      process: { envs: { LD_PRELOAD: '/nonexistent/evil.so', OTHER: 'x' } },
    });
    assert.equal(stdout, '/nonexistent/evil.so:x\n');
    // env and bash complain after the change of user; setpriv before it would be one more.
    assert.ok(!stderr.includes('setpriv'));
  });

  test('an unknown user is unauthenticated, with the text that the SDKs know', async () => {
    const { error } = await run(envd.url, 'true', { user: 'nobody-here' });
    assert.deepEqual(error, { code: 'unauthenticated', message: "invalid username: 'nobody-here'" });
  });

  test('the default user is the one of the configuration, else `user`', async () => {
    assert.equal((await run(envd.url, 'id -u')).stdout, '60001\n');
  });

  test("children see nothing of envd's own environment", async () => {
    const { stdout } = await run(envd.url, 'env -0 | tr "\\0" "\\n" | cut -d= -f1 | sort', { user: 'user' });
    assert.deepEqual(
      stdout
        .trim()
        .split('\n')
        .filter((name) => !['_', 'SHLVL', 'PWD', 'OLDPWD'].includes(name)),
      ['E2B_SANDBOX', 'HOME', 'LOGNAME', 'PATH', 'USER'],
    );
  });

  test('the environment of the request goes before that of the sandbox', async () => {
    await using other = await startEnvd({ config: { env: { A: 'sandbox', B: 'sandbox' } } });
    const { stdout } = await run(other.url, 'echo $A $B $HOME', { process: { envs: { A: 'request' } } });
    assert.equal(stdout, `request sandbox ${other.home}\n`);
  });

  test('it begins at home, or where the request says; a folder that is not there is an error', async () => {
    assert.equal((await run(envd.url, 'pwd')).stdout, `${envd.home}\n`);
    assert.equal((await run(envd.url, 'pwd', { process: { cwd: '/usr' } })).stdout, '/usr\n');
    assert.equal((await run(envd.url, 'pwd', { user: 'nohome' })).stdout, '/\n');
    const { error } = await run(envd.url, 'pwd', { process: { cwd: '/not/there' } });
    assert.deepEqual(error, { code: 'invalid_argument', message: "cwd '/not/there' does not exist" });
  });

  test('a program that is not there, or is none, is an error of the call', async () => {
    const missing = await run(envd.url, '', { process: { cmd: 'no-such-program' } });
    assert.equal(missing.error.code, 'not_found');
    const noProgram = await run(envd.url, '', { process: { cmd: '/etc/passwd' } });
    assert.equal(noProgram.error.code, 'permission_denied');
    assert.equal((await run(envd.url, '', { process: { cmd: '' } })).error.code, 'invalid_argument');
    assert.equal((await run(envd.url, 'echo found', { process: { cmd: 'bash' } })).stdout, 'found\n');
  });

  test('standard output and error can be opened again by name', async () => {
    const { stdout, stderr } = await run(
      envd.url,
      'echo a > /dev/stdout; echo b | tee /dev/stderr >/dev/null',
      {
        user: 'user',
      },
    );
    assert.deepEqual([stdout, stderr], ['a\n', 'b\n']);
  });

  test('without stdin the process reads end of file; by default it has one', async () => {
    assert.equal((await run(envd.url, 'cat; echo end')).stdout, 'end\n');
    await using calls = await stream(envd.url, 'process.Process/Start', {
      process: { cmd: 'cat', args: ['/dev/stdin'] },
    });
    const { pid } = (await calls.next())!.message.event.start;
    const input = Buffer.from('hello ').toString('base64');
    const send = (message: unknown, method = 'SendInput') =>
      unary(envd.url, `process.Process/${method}`, message);
    assert.equal((await send({ process: { pid }, input: { stdin: input } })).status, 200);
    assert.equal((await send({ process: { selector: { pid } }, input: { stdin: input } })).status, 200);
    assert.equal((await send({ process: { pid } }, 'CloseStdin')).status, 200);
    const late = await send({ process: { pid }, input: { stdin: input } });
    assert.ok(late.status >= 400);
    assert.equal(collect(await calls.rest()).stdout, 'hello hello ');
  });

  test('much input reaches a slow reader whole and in order', async () => {
    await using calls = await stream(envd.url, 'process.Process/Start', {
      process: { cmd: '/bin/bash', args: ['-c', 'sleep 0.3; sha256sum'] },
    });
    const { pid } = (await calls.next())!.message.event.start;
    const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 31) % 251));
    const half = bytes.length / 2;
    const results = await Promise.all(
      [bytes.subarray(0, half), bytes.subarray(half)].map((part) =>
        unary(envd.url, 'process.Process/SendInput', {
          process: { pid },
          input: { stdin: part.toString('base64') },
        }),
      ),
    );
    assert.deepEqual(
      results.map(({ status }) => status),
      [200, 200],
    );
    await unary(envd.url, 'process.Process/CloseStdin', { process: { pid } });
    const { createHash } = await import('node:crypto');
    const digests = [bytes, Buffer.concat([bytes.subarray(half), bytes.subarray(0, half)])].map((order) =>
      createHash('sha256').update(order).digest('hex'),
    );
    assert.ok(digests.includes(collect(await calls.rest()).stdout.slice(0, 64)));
  });

  test('StreamInput: a stream of messages with input', async () => {
    await using calls = await stream(envd.url, 'process.Process/Start', {
      process: { cmd: 'cat' },
      tag: 'fed',
    });
    await calls.next();
    const { envelope } = await import('../testing/rpc.ts');
    const body = Buffer.concat([
      envelope({ start: { process: { tag: 'fed' } } }),
      envelope({ keepalive: {} }),
      envelope({ data: { input: { stdin: Buffer.from('streamed').toString('base64') } } }),
    ]);
    const response = await fetch(`${envd.url}/process.Process/StreamInput`, {
      method: 'POST',
      headers: { 'content-type': 'application/connect+json' },
      body,
    });
    const answer = Buffer.from(await response.arrayBuffer());
    assert.deepEqual(answer, Buffer.concat([envelope({}), Buffer.from([2, 0, 0, 0, 2]), Buffer.from('{}')]));
    await unary(envd.url, 'process.Process/CloseStdin', { process: { tag: 'fed' } });
    assert.equal(collect(await calls.rest()).stdout, 'streamed');
  });

  test('a signal reaches the whole group, and only the two that the protocol knows are sent', async () => {
    await using calls = await stream(envd.url, 'process.Process/Start', {
      process: { cmd: '/bin/bash', args: ['-c', 'sleep 1000 & echo $!; wait'] },
      stdin: false,
    });
    const { pid } = (await calls.next())!.message.event.start;
    const child = Number(Buffer.from((await calls.next())!.message.event.data.stdout, 'base64').toString());
    assert.ok(alive(child));
    const wrong = await unary(envd.url, 'process.Process/SendSignal', { process: { pid } });
    assert.equal(wrong.body.code, 'invalid_argument');
    await unary(envd.url, 'process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' });
    assert.equal(collect(await calls.rest()).end.status, 'signal: killed');
    await until('the child is gone', () => !alive(child));
    const again = await unary(envd.url, 'process.Process/SendSignal', {
      process: { pid },
      signal: 'SIGNAL_SIGTERM',
    });
    assert.deepEqual([again.status, again.body.code], [404, 'not_found']);
  });

  test('a client that goes away ends nothing; another joins by pid or by tag, also after the end', async () => {
    let pid = 0;
    {
      await using calls = await stream(envd.url, 'process.Process/Start', {
        process: { cmd: '/bin/bash', args: ['-c', 'read line; echo got $line; exit 5'] },
        tag: 'job',
      });
      pid = (await calls.next())!.message.event.start.pid;
    }
    const { body } = await unary(envd.url, 'process.Process/List', {});
    const listed = body.processes.find((row: { pid: number }) => row.pid === pid);
    assert.equal(listed.tag, 'job');
    assert.equal(listed.config.cmd, '/bin/bash');
    await using joined = await stream(envd.url, 'process.Process/Connect', { process: { tag: 'job' } });
    assert.equal((await joined.next())!.message.event.start.pid, pid);
    const line = Buffer.from('it\n').toString('base64');
    await unary(envd.url, 'process.Process/SendInput', { process: { pid }, input: { stdin: line } });
    const ran = collect(await joined.rest());
    assert.deepEqual([ran.stdout, ran.end.exitCode], ['got it\n', 5]);
    await using late = await stream(envd.url, 'process.Process/Connect', { process: { pid } });
    assert.equal(collect(await late.rest()).end.exitCode, 5);
    const after = await unary(envd.url, 'process.Process/List', {});
    assert.ok(!after.body.processes.some((row: { pid: number }) => row.pid === pid));
    await using none = await stream(envd.url, 'process.Process/Connect', { process: { pid: 4_000_000 } });
    assert.equal(collect(await none.rest()).error.code, 'not_found');
  });

  test('the time limit of the call kills the process', async () => {
    await using calls = await stream(
      envd.url,
      'process.Process/Start',
      { process: { cmd: '/bin/bash', args: ['-c', 'sleep 1000 & echo $!; wait'] }, stdin: false },
      { headers: { 'connect-timeout-ms': '3000' } },
    );
    const all = await calls.rest();
    assert.equal(collect(all).error.code, 'deadline_exceeded');
    const child = Number(collect(all).stdout);
    await until('the child is gone', () => !alive(child));
  });

  test('a silent stream carries keep-alive messages', async () => {
    await using calls = await stream(
      envd.url,
      'process.Process/Start',
      { process: { cmd: 'sleep', args: ['1.5'] }, stdin: false },
      { headers: { 'keepalive-ping-interval': '1' } },
    );
    const all = await calls.rest();
    assert.ok(all.some(({ message }) => message.event?.keepalive));
  });

  test('a program left behind that holds the output open does not keep the command from ending', async () => {
    const { stdout, end } = await run(envd.url, 'sleep 1000 & echo $!; exit 4');
    assert.equal(end.exitCode, 4);
    assert.ok(alive(Number(stdout)));
    process.kill(Number(stdout), 'SIGKILL');
  });

  test('a reader that does not read holds the process back, not the memory of envd nor other processes', async () => {
    const rss = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${envd.pid}/status`, 'utf8'))![1]) / 1024;
    const before = rss();
    await using slow = await stream(envd.url, 'process.Process/Start', {
      process: { cmd: '/bin/bash', args: ['-c', 'head -c 400000000 /dev/zero; echo done >&2'] },
      stdin: false,
    });
    const { pid } = (await slow.next())!.message.event.start;
    slow.response.pause();
    for (let round = 0; round < 20; round++)
      assert.equal((await run(envd.url, 'echo quick')).stdout, 'quick\n');
    assert.ok(alive(pid), 'the writer waits');
    assert.ok(rss() - before < 100, `envd grew by ${rss() - before} MiB`);

    // Another reader that keeps up is not held back by the one that does not, which is cut off.
    await using quick = await stream(envd.url, 'process.Process/Connect', { process: { pid } });
    let bytes = 0;
    let end: unknown;
    for (let one = await quick.next(); one; one = await quick.next()) {
      bytes += Math.floor(((one.message.event?.data?.stdout?.length ?? 0) * 3) / 4);
      end ??= one.message.event?.end;
    }
    assert.ok(end, 'the quick reader saw the end');
    assert.ok(bytes > 300_000_000, `${bytes} bytes`);
    assert.ok(rss() - before < 150, `envd grew by ${rss() - before} MiB`);
    const rest = await slow.rest();
    assert.equal(rest.at(-1)?.message.error?.code, 'resource_exhausted');
  });

  test('a terminal: size, resize, input, control characters, its owner', async () => {
    await using calls = await stream(
      envd.url,
      'process.Process/Start',
      {
        process: { cmd: '/bin/bash', args: ['--norc', '-i'], envs: { TERM: 'xterm', PS1: '$ ' } },
        pty: { size: { cols: 91, rows: 31 } },
      },
      { user: 'user' },
    );
    const { pid } = (await calls.next())!.message.event.start;
    let screen = '';
    const type = (text: string) =>
      unary(envd.url, 'process.Process/SendInput', {
        process: { pid },
        input: { pty: Buffer.from(text).toString('base64') },
      });
    const see = async (text: string) => {
      while (!screen.includes(text)) {
        const one = await calls.next();
        assert.ok(one, `the terminal ended without ${text}: ${screen}`);
        screen += Buffer.from(one.message.event?.data?.pty ?? '', 'base64');
      }
    };
    await type('stty size; stat -c "owner %u" $(tty); tty < /dev/tty\n');
    await see('31 91');
    await see('owner 60001');
    await unary(envd.url, 'process.Process/Update', {
      process: { pid },
      pty: { size: { cols: 100, rows: 40 } },
    });
    await type('stty size\n');
    await see('40 100');
    await type('echo slee$((1))ping; sleep 1000\n');
    await see('slee1ping');
    // Before it is the program's own, the shell may take the signal for itself.
    await until('sleep runs', () => {
      const child = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
      return child !== '' && readFileSync(`/proc/${child}/cmdline`, 'utf8').startsWith('sleep');
    });
    await type('\u0003');
    await type('echo after-$((40+2))\n');
    await see('after-42');
    await type('exit 6\n');
    assert.equal(collect(await calls.rest()).end.exitCode, 6);
  });

  test('a terminal that nobody reads waits', async () => {
    await using calls = await stream(envd.url, 'process.Process/Start', {
      process: {
        cmd: '/bin/bash',
        args: ['-c', 'head -c 60000000 /dev/zero | tr "\\0" x; echo; echo finished'],
      },
      pty: { size: { cols: 80, rows: 24 } },
    });
    const { pid } = (await calls.next())!.message.event.start;
    calls.response.pause();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.ok(alive(pid), 'the writer waits');
    let tail = '';
    let length = 0;
    for (let one = await calls.next(); one; one = await calls.next()) {
      const text = Buffer.from(one.message.event?.data?.pty ?? '', 'base64').toString('latin1');
      length += text.length;
      tail = (tail + text).slice(-100);
    }
    assert.match(tail, /finished/);
    assert.ok(length >= 60_000_000, `${length} bytes`);
  });

  test('where there is no bash, the sh of the image or the busybox beside envd stands in', async () => {
    const { findProgram } = await import('./find-program.ts');
    assert.deepEqual(findProgram('/bin/sh', '', '/', '/none'), { path: '/bin/sh', before: [] });
    assert.throws(() => findProgram('/opt/bash', '', '/', '/none'), { code: 'not_found' });
  });

  test('a program that is started while files and pipes are open inherits none of them', async () => {
    await using held = await stream(envd.url, 'process.Process/Start', { process: { cmd: 'cat' } });
    await held.next();
    const { stdout } = await run(envd.url, 'ls /proc/self/fd');
    assert.deepEqual(stdout.trim().split('\n'), ['0', '1', '2', '3']); // 3 is what ls reads the folder with
  });

  test('output comes when it is printed, however short or long the process lives', async () => {
    await using calls = await stream(envd.url, 'process.Process/Start', {
      process: {
        cmd: '/bin/bash',
        args: ['-c', 'echo now; exec >&-; sleep 0.05; echo then >&2; sleep 0.3; echo last >&2'],
      },
      stdin: false,
    });
    const seen = (await calls.rest()).map(({ message }) => {
      const [[kind, text] = ['', '']] = Object.entries((message.event?.data ?? {}) as Record<string, string>);
      return kind && `${kind} ${Buffer.from(text, 'base64')}`;
    });
    assert.deepEqual(seen.filter(Boolean), ['stdout now\n', 'stderr then\n', 'stderr last\n']);
    const { stdout } = await run(envd.url, 'head -c 900000 /dev/zero; sleep 0.03; head -c 900000 /dev/zero');
    assert.equal(stdout.length, 1_800_000);
  });

  test("children do not inherit envd's exemption from the out-of-memory killer", async (t) => {
    await using other = await startEnvd();
    try {
      writeFileSync(`/proc/${other.pid}/oom_score_adj`, '-1000'); // as the init of the guest does
    } catch {
      return t.skip('DID NOT RUN: this machine does not let root exempt a process');
    }
    const { stdout } = await run(other.url, 'cat /proc/self/oom_score_adj');
    assert.equal(stdout, '0\n');
    assert.equal(readFileSync(`/proc/${other.pid}/oom_score_adj`, 'utf8'), '-1000\n');
  });

  test('nothing is left open when processes have ended', async () => {
    const { readdirSync } = await import('node:fs');
    const count = () => readdirSync(`/proc/${envd.pid}/fd`).length;
    await run(envd.url, 'true');
    const before = count();
    for (let round = 0; round < 60; round++)
      await run(envd.url, 'echo x; echo y >&2', { start: { stdin: true } });
    await until('descriptors are closed', () => count() <= before + 4);
  });
});
