import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CommandExitError, NotFoundError, Sandbox } from 'e2b';
import { ensureDefaultTemplate, startServer, type TestServer } from '../harness/server.ts';

// The published npm package, unmodified: only the environment tells it where the server is.
describe('the npm package e2b', () => {
  let server: TestServer;
  let sandbox: Sandbox;

  before(async () => {
    ensureDefaultTemplate();
    server = await startServer();
    Object.assign(process.env, server.env);
    sandbox = await Sandbox.create('default-sandbox', {
      timeoutMs: 300_000,
      metadata: { purpose: 'test' },
      envs: { GREETING: 'hello' },
    });
  });
  after(async () => {
    await sandbox?.kill();
    await server?.[Symbol.asyncDispose]();
  });

  test('runs a command and streams its output as it comes', async () => {
    const seen: string[] = [];
    const result = await sandbox.commands.run('echo one; sleep 0.3; echo two; echo bad >&2; exit 0', {
      onStdout: (text) => void seen.push(text),
    });
    assert.equal(result.stdout, 'one\ntwo\n');
    assert.equal(result.stderr, 'bad\n');
    assert.deepEqual(seen, ['one\n', 'two\n']);
  });

  test('tells the exit status of a command that fails', async () => {
    await assert.rejects(sandbox.commands.run('exit 7'), (error: CommandExitError) => {
      assert.ok(error instanceof CommandExitError);
      assert.equal(error.exitCode, 7);
      return true;
    });
  });

  test('programs run as the user, with the environment of the sandbox, and root is at hand', async () => {
    const { stdout } = await sandbox.commands.run('whoami; pwd; echo $GREETING; sudo id -u');
    assert.equal(stdout, 'user\n/home/user\nhello\n0\n');
    const asRoot = await sandbox.commands.run('id -un', { user: 'root' });
    assert.equal(asRoot.stdout, 'root\n');
  });

  test('a background command is listed, takes input, can be joined again and killed', async () => {
    const command = await sandbox.commands.run('cat', { background: true, stdin: true });
    await sandbox.commands.sendStdin(command.pid, 'to the cat\n');
    const listed = await sandbox.commands.list();
    assert.ok(listed.some((row) => row.pid === command.pid));
    await command.disconnect();
    let heard = '';
    const again = await sandbox.commands.connect(command.pid, {
      onStdout: (text) => {
        heard += text;
      },
    });
    await sandbox.commands.sendStdin(command.pid, 'once more\n');
    await until(() => heard.includes('once more'));
    assert.equal(await sandbox.commands.kill(command.pid), true);
    await assert.rejects(again.wait());
    assert.equal(await sandbox.commands.kill(command.pid), false);
  });

  test('writes, reads, lists, moves and removes files', async () => {
    await sandbox.files.write('/home/user/a/b.txt', 'text of b');
    assert.equal(await sandbox.files.read('/home/user/a/b.txt'), 'text of b');
    assert.deepEqual(
      (await sandbox.files.list('/home/user/a')).map((entry) => [entry.name, entry.type]),
      [['b.txt', 'file']],
    );
    await sandbox.files.rename('/home/user/a/b.txt', '/home/user/a/c.txt');
    assert.equal(await sandbox.files.exists('/home/user/a/b.txt'), false);
    assert.equal((await sandbox.files.getInfo('/home/user/a/c.txt')).owner, 'user');
    await sandbox.files.remove('/home/user/a');
    assert.equal(await sandbox.files.exists('/home/user/a'), false);
    await assert.rejects(sandbox.files.read('/home/user/none'), NotFoundError);
  });

  test('carries bytes as they are', async () => {
    const bytes = new Uint8Array(1_000_003).map((_, index) => (index * 7) % 256);
    await sandbox.files.write('/tmp/bytes', bytes.buffer);
    assert.deepEqual(await sandbox.files.read('/tmp/bytes', { format: 'bytes' }), bytes);
    const { stdout } = await sandbox.commands.run('wc -c < /tmp/bytes');
    assert.equal(stdout.trim(), '1000003');
  });

  test('watches a folder', async () => {
    await sandbox.files.makeDir('/home/user/watched');
    const events: string[] = [];
    const watch = await sandbox.files.watchDir(
      '/home/user/watched',
      (event) => void events.push(`${event.type} ${event.name}`),
      { recursive: true },
    );
    await sandbox.files.write('/home/user/watched/new.txt', 'x');
    await until(() => events.includes('create new.txt') && events.includes('write new.txt'));
    await watch.stop();
  });

  test('opens a terminal, types into it, resizes it', async () => {
    let screen = '';
    const terminal = await sandbox.pty.create({
      cols: 80,
      rows: 24,
      onData: (data) => {
        screen += Buffer.from(data).toString();
      },
    });
    await sandbox.pty.sendInput(terminal.pid, Buffer.from('stty size; echo in-$((40+2))\n'));
    await until(() => screen.includes('in-42'));
    assert.ok(screen.includes('24 80'), screen);
    await sandbox.pty.resize(terminal.pid, { cols: 100, rows: 30 });
    await sandbox.pty.sendInput(terminal.pid, Buffer.from('stty size\n'));
    await until(() => screen.includes('30 100'));
    await sandbox.pty.kill(terminal.pid);
  });

  test('is found by list, getInfo and connect, and has metrics', async () => {
    const page = await Sandbox.list({ query: { metadata: { purpose: 'test' } } }).nextItems();
    assert.deepEqual(
      page.map((info) => info.sandboxId),
      [sandbox.sandboxId],
    );
    const info = await sandbox.getInfo();
    assert.equal(info.state, 'running');
    assert.deepEqual(info.metadata, { purpose: 'test' });
    await sandbox.setTimeout(200_000);
    const other = await Sandbox.connect(sandbox.sandboxId);
    assert.equal((await other.commands.run('echo same')).stdout, 'same\n');
    assert.equal(await sandbox.isRunning(), true);
  });

  test('a sandbox that was killed is gone for every call', async () => {
    const short = await Sandbox.create('default-sandbox');
    assert.equal(await short.kill(), true);
    assert.equal(await short.isRunning(), false);
    assert.equal(await short.kill(), false);
  });

  test('an unknown template is an error that names it', async () => {
    await assert.rejects(Sandbox.create('no-such-template'), /no-such-template/);
  });
});

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 1000) throw new Error('it did not happen within 20 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
