import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CommandExitError, FileNotFoundError, FilesystemEventType, Sandbox, TimeoutError } from 'e2b';
import { until } from './testing/rpc.ts';
import { startEnvd, type TestEnvd, whyNot } from './testing/start-envd.ts';

// The published npm package, unmodified. In debug mode it asks no control plane; the URL is that of our envd.
describe('the npm package e2b against envd', { skip: whyNot() }, () => {
  let envd: TestEnvd;
  let sandbox: Sandbox;
  before(async () => {
    envd = await startEnvd();
    sandbox = await Sandbox.connect('debug', { debug: true, sandboxUrl: envd.url });
  });
  after(async () => {
    await envd?.[Symbol.asyncDispose]();
  });

  test('it runs', async () => {
    assert.equal(await sandbox.isRunning(), true);
  });

  test('commands: output as it comes, exit status, user, environment, folder', async () => {
    const seen: string[] = [];
    const { stdout, stderr, exitCode } = await sandbox.commands.run(
      'echo one; sleep 0.2; echo two; echo e >&2',
      {
        onStdout: (text) => void seen.push(text),
      },
    );
    assert.deepEqual([stdout, stderr, exitCode, seen], ['one\ntwo\n', 'e\n', 0, ['one\n', 'two\n']]);
    await assert.rejects(sandbox.commands.run('exit 7'), (error: CommandExitError) => {
      assert.ok(error instanceof CommandExitError);
      return error.exitCode === 7;
    });
    const where = await sandbox.commands.run('echo $(id -u) $(pwd) $X', {
      user: 'root',
      cwd: '/usr',
      envs: { X: 'y' },
    });
    assert.equal(where.stdout, '0 /usr y\n');
    await assert.rejects(sandbox.commands.run('true', { cwd: '/not/there' }), /does not exist/);
    await assert.rejects(
      sandbox.commands.run('true', { user: 'nobody-here' }),
      /invalid username: 'nobody-here'/,
    );
  });

  test('commands: a time limit', async () => {
    await assert.rejects(sandbox.commands.run('sleep 1000', { timeoutMs: 500 }), TimeoutError);
    await until('the process is gone', async () => (await sandbox.commands.list()).length === 0);
  });

  test('commands: background, input, list, reconnect, kill', async () => {
    const command = await sandbox.commands.run('cat', { background: true, stdin: true });
    await sandbox.commands.sendStdin(command.pid, 'first\n');
    await until('it comes back', () => command.stdout === 'first\n');
    await command.disconnect();
    assert.ok((await sandbox.commands.list()).some(({ pid }) => pid === command.pid));
    let heard = '';
    const again = await sandbox.commands.connect(command.pid, {
      onStdout: (text) => {
        heard += text;
      },
    });
    await sandbox.commands.sendStdin(command.pid, 'second\n');
    await until('it comes back', () => heard === 'second\n');
    await sandbox.commands.closeStdin(command.pid);
    assert.equal((await again.wait()).exitCode, 0);
    const sleeper = await sandbox.commands.run('sleep 1000', { background: true });
    assert.equal(await sleeper.kill(), true);
    await assert.rejects(sleeper.wait(), CommandExitError);
    assert.equal(await sandbox.commands.kill(sleeper.pid), false);
  });

  test('terminals: input, resize, reconnect, kill', async () => {
    let screen = '';
    const onData = (data: Uint8Array) => {
      screen += Buffer.from(data).toString();
    };
    const terminal = await sandbox.pty.create({ cols: 90, rows: 30, onData });
    await sandbox.pty.sendInput(terminal.pid, Buffer.from('stty size; echo in-$((40+2))\n'));
    await until('the answer', () => screen.includes('30 90') && screen.includes('in-42'));
    await sandbox.pty.resize(terminal.pid, { cols: 100, rows: 40 });
    await terminal.disconnect();
    await sandbox.pty.connect(terminal.pid, { onData });
    await sandbox.pty.sendInput(terminal.pid, Buffer.from('stty size\n'));
    await until('the new size', () => screen.includes('40 100'));
    assert.equal(await sandbox.pty.kill(terminal.pid), true);
  });

  test('files: write, read in every format, list, stat, rename, remove', async () => {
    const { path } = await sandbox.files.write('dir/text.txt', 'some text');
    assert.equal(path, `${envd.home}/dir/text.txt`);
    assert.equal(await sandbox.files.read(path), 'some text');
    const bytes = new Uint8Array(1_000_003).map((_, index) => (index * 7) % 256);
    await sandbox.files.write('dir/bytes', bytes.buffer);
    assert.deepEqual(await sandbox.files.read('dir/bytes', { format: 'bytes' }), bytes);
    await sandbox.files.write('dir/streamed', new Blob([bytes]).stream());
    const stream = await sandbox.files.read('dir/streamed', { format: 'stream' });
    let received = 0;
    for await (const chunk of stream) received += chunk.length;
    assert.equal(received, bytes.length);
    await sandbox.files.write('dir/packed', 'packed '.repeat(1000), { gzip: true });
    assert.equal(await sandbox.files.read('dir/packed', { gzip: true }), 'packed '.repeat(1000));
    await sandbox.files.write('dir/empty', '');
    assert.equal(await sandbox.files.read('dir/empty'), '');

    await sandbox.files.write([
      { path: 'dir/one', data: '1' },
      { path: 'dir/deep/two', data: '2' },
    ]);
    const listed = await sandbox.files.list('dir', { depth: 2 });
    assert.deepEqual(
      listed.map((entry) => `${entry.type} ${entry.path.slice(envd.home.length + 1)}`),
      [
        'file dir/bytes',
        'dir dir/deep',
        'file dir/deep/two',
        'file dir/empty',
        'file dir/one',
        'file dir/packed',
        'file dir/streamed',
        'file dir/text.txt',
      ],
    );
    const info = await sandbox.files.getInfo('dir/text.txt');
    assert.deepEqual(
      [info.size, info.mode, info.permissions, info.owner, info.group],
      [9, 0o644, '-rw-r--r--', 'user', 'user'],
    );
    assert.ok(info.modifiedTime instanceof Date);
    await sandbox.files.rename('dir/one', 'dir/uno');
    assert.equal(await sandbox.files.exists('dir/one'), false);
    assert.equal(await sandbox.files.makeDir('dir/made'), true);
    assert.equal(await sandbox.files.makeDir('dir/made'), false);
    await sandbox.files.remove('dir');
    assert.equal(await sandbox.files.exists('dir'), false);
    await assert.rejects(sandbox.files.read('dir/text.txt'), FileNotFoundError);
  });

  test('files: metadata', async (t) => {
    const written = await sandbox.files
      .write('meta', 'x', { metadata: { Kind: 'report' } })
      .catch((error) => {
        if (/does not keep metadata/.test(String(error))) return undefined;
        throw error;
      });
    if (!written) return t.skip('DID NOT RUN: the file system of the temporary folder has no attributes');
    assert.deepEqual(written.metadata, { kind: 'report' });
    assert.deepEqual((await sandbox.files.getInfo('meta')).metadata, { kind: 'report' });
  });

  test('files: watch', async () => {
    await sandbox.files.makeDir('watched');
    const events: string[] = [];
    const watch = await sandbox.files.watchDir(
      'watched',
      (event) => void events.push(`${event.type} ${event.name} ${event.entry?.size ?? '-'}`),
      { recursive: true, includeEntry: true },
    );
    await sandbox.files.write('watched/below/file', 'four');
    await until('it is told', () =>
      events.some((event) => event === `${FilesystemEventType.WRITE} below/file 4`),
    );
    await watch.stop();
    await assert.rejects(
      sandbox.files.watchDir('not-there', () => {}),
      FileNotFoundError,
    );
  });
});
