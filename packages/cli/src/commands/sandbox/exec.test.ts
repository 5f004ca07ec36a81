import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeBackend } from '../../testing/fake-backend.ts';
import { runCli, SANDBOX_CLI } from '../../testing/run-cli.ts';

const SHELL = ['/bin/sh', '-c'];

test('output goes to the stream it was written to, the status is the program’s', async () => {
  await using backend = await FakeBackend.start();
  const args = ['sandbox', 'exec', backend.addSandbox(), '--', ...SHELL, 'echo out; echo err >&2; exit 37'];
  assert.deepEqual(await runCli(args, { env: backend.env }), {
    status: 37,
    stdout: 'out\n',
    stderr: 'err\n',
  });
});

test('a program needs no -- before it, and keeps its own options', async () => {
  await using backend = await FakeBackend.start();
  const id = backend.addSandbox();
  const { status, stdout } = await runCli(['sandbox', 'exec', id, 'echo', '-n', '--json', '-i', 'x'], {
    env: backend.env,
  });
  assert.deepEqual([status, stdout], [0, '--json -i x']);
});

test('a signal that ended the program is 128 and its number', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  for (const [signal, status] of [
    ['KILL', 137],
    ['TERM', 143],
    ['SEGV', 139],
  ] as const) {
    const args = ['sandbox', 'exec', backend.addSandbox(), '--', ...SHELL, `kill -${signal} $$`];
    assert.equal((await runCli(args, { env })).status, status, signal);
  }
});

test('user, folder, variables and time limit reach envd', async () => {
  await using backend = await FakeBackend.start();
  const flags = ['-u', 'root', '-w', '/', '-e', 'A=1 2', '-e', 'B=x', '--timeout', '5s'];
  const args = ['sandbox', 'exec', ...flags, backend.addSandbox(), '--', ...SHELL, 'echo "$A$B"; pwd'];
  assert.equal((await runCli(args, { env: backend.env })).stdout, '1 2x\n/\n');
  const { message, headers } = backend.envd.starts[0]!;
  assert.equal(headers.authorization, `Basic ${Buffer.from('root:').toString('base64')}`);
  assert.equal(headers['connect-timeout-ms'], '5000');
  assert.equal(message.stdin, false);
});

test('standard input is passed on with -i, whole and in order, and only then', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const id = backend.addSandbox();
  const input = Buffer.alloc(1_000_000, 'line of input\n');
  const passed = await runCli(['sandbox', 'exec', '-i', id, '--', 'md5sum'], { env, input });
  const { createHash } = await import('node:crypto');
  assert.equal(passed.stdout, `${createHash('md5').update(input).digest('hex')}  -\n`);
  assert.equal((await runCli(['sandbox', 'exec', id, '--', 'cat'], { env, input: 'unseen' })).stdout, '');
});

test('a program that ends before its input does is not waited for', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const child = spawn(SANDBOX_CLI, ['sandbox', 'exec', '-i', backend.addSandbox(), '--', '/bin/true'], {
    env,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const [status] = await once(child, 'exit');
  assert.equal(status, 0);
});

test('with -t there is a terminal, and a shell where no program is given', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const shell = await runCli(['sandbox', 'exec', '-t', backend.addSandbox()], {
    env: { ...env, TERM: 'vt100' },
    input: 'echo "$TERM"; exit 5\n',
  });
  assert.deepEqual([shell.status, shell.stdout], [5, 'vt100\n']);
  assert.deepEqual(backend.envd.starts[0]?.message.pty, { size: { cols: 80, rows: 24 } });
  assert.equal((await runCli(['sandbox', 'exec', backend.addSandbox()], { env })).status, 2);
});

test('the terminal is given to the program with its size, and given back', { timeout: 60_000 }, async (t) => {
  await using backend = await FakeBackend.start();
  const exec = `${SANDBOX_CLI} sandbox exec -t ${backend.addSandbox()} -- sh -c 'echo up; cat; exit 4'`;
  const line = `tty; stty rows 30 cols 100; ${exec}; echo "status $?"; stty -a`;
  const script = spawn('script', ['-qec', line, '/dev/null'], {
    env: { ...backend.env, SHELL: '/bin/sh' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => script.kill());
  let printed = '';
  const until = async (text: string | RegExp) => {
    while (printed.search(text) < 0) printed += String((await once(script.stdout, 'data'))[0]);
  };
  try {
    await once(script, 'spawn');
  } catch (caught) {
    return t.skip(`script is not installed, so that no terminal was tried: ${(caught as Error).message}`);
  }
  await until('up');
  execFileSync('stty', ['-F', /\/dev\/pts\/\d+/.exec(printed)![0], 'rows', '31', 'cols', '101']);
  script.stdin.write('\x03');
  // Ctrl-C is a byte for the program, which has no terminal of its own in this fake and prints it.
  await until('\x03');
  // stty sets rows and columns one after the other, and each may be told by itself.
  while (backend.envd.resizes.at(-1)?.cols !== 101) await sleep(10);
  script.stdin.write('\x04');
  await until(/-?icanon/);
  assert.deepEqual(backend.envd.starts[0]?.message.pty, { size: { cols: 100, rows: 30 } });
  assert.deepEqual(backend.envd.resizes.at(-1), { cols: 101, rows: 31 });
  assert.match(printed, /status 4\r\n/);
  assert.match(printed, /[^-]icanon/);
});

test('Ctrl-C asks the program to end, a second one makes it', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const id = backend.addSandbox();
  const polite = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done";
  const asked = await runCli(['sandbox', 'exec', id, '--', ...SHELL, polite], {
    env,
    onOutput: (child, text) => void (text === 'up\n' && child.kill('SIGINT')),
  });
  assert.deepEqual([asked.status, asked.stdout], [3, 'up\nbye\n']);

  const deaf = "trap 'echo no' TERM; echo up; while :; do sleep 0.1; done";
  const made = await runCli(['sandbox', 'exec', id, '--', ...SHELL, deaf], {
    env,
    onOutput: (child) => void child.kill('SIGINT'),
  });
  assert.equal(made.status, 137);
  assert.equal(backend.envd.running, 0);
});

test('a reader that goes away ends the program, which would not notice by itself', {
  timeout: 60_000,
}, async () => {
  await using backend = await FakeBackend.start();
  const child = spawn(SANDBOX_CLI, ['sandbox', 'exec', backend.addSandbox(), '--', 'yes'], {
    env: backend.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const [status] = await once(child, 'exit');
  assert.equal(status, 141);
  await backend.envd.idle;
});

test('a connection that breaks is an error, never a status', async () => {
  await using backend = await FakeBackend.start();
  backend.envd.breakStreams = true;
  const args = ['sandbox', 'exec', backend.addSandbox(), '--', 'echo', 'out'];
  const { status, stdout, stderr } = await runCli(args, { env: backend.env });
  assert.deepEqual([status, stdout], [7, 'out\n']);
  assert.match(stderr, /connection to sandbox i\w+ was lost/);
});

test('errors of envd, of a sandbox that is gone, and one that is paused', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const missing = await runCli(['sandbox', 'exec', backend.addSandbox(), '--', '/no/such'], { env });
  assert.deepEqual([missing.status, missing.stdout], [4, '']);
  const gone = await runCli(['sandbox', 'exec', `i${'0'.repeat(20)}`, '--', 'true'], { env });
  assert.equal(gone.status, 4);
  const paused = backend.addSandbox({ state: 'paused' });
  assert.equal((await runCli(['sandbox', 'exec', paused, '--', 'true'], { env })).status, 0);
});
