import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from 'e2b';
import ssh2 from 'ssh2';
import { makeOciLayout, scratchImage } from '../../packages/template-manager/src/image/testing/make-image.ts';
import {
  checkout,
  ensureDefaultTemplate,
  startServer,
  type TestServer,
  templateManager,
} from '../harness/server.ts';

const lacks = (program: string) => {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `DID NOT RUN: this machine has no ${program} (apt install openssh-client rsync)`;
  }
};

type Finished = { status: number; stdout: Buffer; stderr: string };

describe('ssh', { skip: lacks('ssh') ?? lacks('sftp') ?? lacks('ssh-keygen') }, () => {
  let server: TestServer;
  let folder: string;
  let sandbox: Sandbox;
  let port: number;
  const keys: string[] = [];
  const door = async () => (await api('GET', '/ssh/door')).json as { port: number; hostKey: string };

  before(async () => {
    ensureDefaultTemplate();
    folder = mkdtempSync(join(tmpdir(), 'ssh-'));
    server = await startServer();
    Object.assign(process.env, server.env);
    ({ port } = await door());
    for (const name of ['owner', 'stranger']) {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
    }
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', join(folder, 'rsa')]);
    for (const name of ['owner', 'rsa']) {
      const publicKey = readFileSync(join(folder, `${name}.pub`), 'utf8');
      const { status, json } = await api('POST', '/ssh/keys', { publicKey });
      assert.equal(status, 201);
      keys.push(json.id);
    }
    writeFileSync(join(folder, 'known_hosts'), `sandboxes ${(await door()).hostKey}\n`);
    sandbox = await Sandbox.create('default-sandbox', { timeoutMs: 3_600_000 });
  });
  after(async () => {
    for (const id of keys) await api('DELETE', `/ssh/keys/${id}`);
    await server?.[Symbol.asyncDispose]();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  async function api(method: string, path: string, body?: unknown) {
    const response = await fetch(`${server.apiUrl}${path}`, {
      method,
      headers: { 'X-API-KEY': server.apiKey, 'Content-Type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
  }

  const options = (key = 'owner') =>
    [
      `Port=${port}`,
      `IdentityFile=${join(folder, key)}`,
      'IdentitiesOnly=yes',
      'BatchMode=yes',
      'HostKeyAlias=sandboxes',
      `UserKnownHostsFile=${join(folder, 'known_hosts')}`,
      'StrictHostKeyChecking=yes',
      'LogLevel=ERROR',
    ].flatMap((option) => ['-o', option]);

  const start = (program: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
    spawn(program, args, { env: { ...process.env, ...env }, stdio: 'pipe' });
  const finish = async (child: ChildProcess, input?: Buffer | string): Promise<Finished> => {
    const out: Buffer[] = [];
    let stderr = '';
    child.stdout!.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin!.on('error', () => {});
    child.stdin!.end(input);
    const [status] = (await once(child, 'close')) as [number | null];
    return { status: status ?? -1, stdout: Buffer.concat(out), stderr };
  };
  const run = (program: string, args: string[], input?: Buffer | string) =>
    finish(start(program, args), input);
  const at = (user?: string) => `${sandbox.sandboxId}${user ? `+${user}` : ''}@127.0.0.1`;
  const ssh = (command: string[], input?: Buffer | string, user?: string) =>
    run('ssh', [...options(), at(user), ...command], input);
  /** The same through a client that can do what OpenSSH will not. */
  const client = async () => {
    const opened = new ssh2.Client();
    opened.on('error', () => {});
    opened.connect({
      host: '127.0.0.1',
      port,
      username: sandbox.sandboxId,
      privateKey: readFileSync(join(folder, 'owner')),
    });
    await once(opened, 'ready');
    return opened;
  };
  /** How many programs of the guest have the number as an argument. */
  const count = async (digits: string) => {
    const pattern = `[${digits[0]}]${digits.slice(1)}`; // which does not find itself
    const { stdout } = await sandbox.commands.run(`grep -asl '${pattern}' /proc/[0-9]*/cmdline | wc -l`);
    return Number(stdout.trim());
  };
  const until = async (what: string, done: () => Promise<boolean>) => {
    for (let round = 0; round < 150; round++) {
      if (await done()) return;
      await sleep(200);
    }
    assert.fail(`never: ${what}`);
  };

  test('a command has its status, its streams and its signal', async () => {
    const failed = await ssh(['id -un; echo told >&2; exit 42']);
    assert.deepEqual([failed.status, failed.stdout.toString(), failed.stderr], [42, 'user\n', 'told\n']);
    assert.equal((await ssh(['id -un; echo $HOME'], '', 'root')).stdout.toString(), 'root\n/root\n');
    assert.equal((await ssh(['kill -KILL $$'])).status, 255); // OpenSSH's for a signal
    const missing = await ssh(['true'], '', 'nosuchuser');
    assert.match(missing.stderr, /nosuchuser/);
    assert.notEqual(missing.status, 0);
    const rsa = await run('ssh', [...options('rsa'), at(), 'echo by rsa']);
    assert.equal(rsa.stdout.toString(), 'by rsa\n', rsa.stderr);
  });

  test('bytes arrive as they were, both ways at once', async () => {
    const bytes = randomBytes(4_000_000);
    const up = await ssh(['cat > up && sha256sum < up'], bytes);
    assert.equal(
      up.stdout.toString().split(' ')[0],
      createHash('sha256').update(bytes).digest('hex'),
      up.stderr,
    );
    assert.ok((await ssh(['cat'], bytes)).stdout.equals(bytes));
    assert.ok((await ssh(['cat up >&2; cat up'])).stdout.equals(bytes));
  });

  test('a program that does not read is waited for, and its client may leave', async () => {
    const child = start('ssh', [...options(), at(), 'sleep 7001']);
    child.stdin!.on('error', () => {});
    child.stdin!.write(Buffer.alloc(8_000_000));
    await until('the program runs', async () => (await count('7001')) > 0);
    child.kill('SIGKILL');
    await until('the program is hung up', async () => (await count('7001')) === 0);
  });

  test('a terminal has a size that changes, takes signals, and hangs up with its client', async () => {
    const connection = await client();
    const shell = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
      connection.shell({ term: 'xterm-256color', cols: 100, rows: 30 }, (error, channel) =>
        error ? reject(error) : resolve(channel),
      ),
    );
    let text = '';
    shell.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const types = async (keys: string, expected: RegExp) => {
      shell.write(keys);
      await until(`${expected} in ${JSON.stringify(text)}`, async () => expected.test(text));
      text = '';
    };
    await types('stty size; echo $TERM\n', /30 100\r\nxterm-256color/);
    shell.setWindow(40, 120, 0, 0);
    await types('sleep 1; stty size\n', /40 120/);
    await types('sleep 7002\n', /sleep 7002/);
    await until('it runs', async () => (await count('7002')) === 1);
    await types('\x03echo after $?\n', /after 130/);
    await types('(trap "" HUP; exec sleep 7003) & sleep 7004\n', /sleep 7004/);
    const stubborn = { pty: { rows: 5, cols: 50 } };
    connection.exec('trap "" HUP; sleep 7005; true', stubborn, (_error, channel) =>
      channel?.on('error', () => {}),
    );
    await until('they run', async () => (await count('700[345]')) === 4); // the shell of 7005 is one
    connection.destroy();
    await until('all are hung up that want to or must', async () => (await count('700[45]')) === 0);
    assert.equal(await count('7003'), 1);
  });

  test('a signal from the client reaches the program', async () => {
    const connection = await client();
    const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
      connection.exec(
        'trap "echo got it; exit 9" USR1; echo ready; while :; do sleep 0.1; done',
        (error, opened) => (error ? reject(error) : resolve(opened)),
      ),
    );
    let text = '';
    channel.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text === 'ready\n') channel.signal('USR1');
    });
    const [status] = await once(channel, 'exit');
    assert.deepEqual([status, text], [9, 'ready\ngot it\n']);
    connection.end();
  });

  test('sftp does all that its protocol names', async () => {
    const local = join(folder, 'sftp');
    mkdirSync(local);
    const bytes = randomBytes(1_000_000);
    writeFileSync(join(local, 'a file'), bytes);
    chmodSync(join(local, 'a file'), 0o640);
    const batch = [
      'mkdir work',
      'cd work',
      `put -p "${local}/a file" "näme"`,
      'rename näme new',
      'symlink new link',
      'ln new hard',
      'chmod 600 hard',
      'mkdir sub',
      'rmdir sub',
      '-rmdir nothing',
      'ls -l',
      'df .',
      `get -p link "${local}/back"`,
      'rm link',
      '-get /etc/shadow',
      'pwd',
    ];
    const { status, stdout, stderr } = await run(
      'sftp',
      [...options(), '-b', '-', at()],
      `${batch.join('\n')}\n`,
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout.toString(), /-rw------- .*user +user +1000000 .* hard\n/);
    assert.match(stdout.toString(), /lrwxrwxrwx .* link\n/);
    assert.match(stdout.toString(), /Remote working directory: \/home\/user\/work\n/);
    assert.match(stderr, /nothing.*No such file/s);
    assert.match(stderr, /shadow.*Permission denied/s);
    assert.ok(readFileSync(join(local, 'back')).equals(bytes));
    assert.equal(statSync(join(local, 'back')).mode & 0o777, 0o600);
    assert.equal(
      (await ssh(['sha256sum < work/new'])).stdout.toString().split(' ')[0],
      createHash('sha256').update(bytes).digest('hex'),
    );
  });

  test('sftp reads and writes anywhere in a file', async () => {
    const connection = await client();
    const sftp = await new Promise<ssh2.SFTPWrapper>((resolve, reject) =>
      connection.sftp((error, opened) => (error ? reject(error) : resolve(opened))),
    );
    const ask = <T>(call: (done: (error?: Error | null, value?: T) => void) => void) =>
      new Promise<T>((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value!))));
    const handle = await ask<Buffer>((done) => sftp.open('/tmp/random', 'w+', done));
    await ask((done) => sftp.write(handle, Buffer.from('tail'), 0, 4, 1_000_000, done));
    await ask((done) => sftp.write(handle, Buffer.from('head'), 0, 4, 0, done));
    await ask((done) => sftp.fsetstat(handle, { size: 1_000_003 } as ssh2.InputAttributes, done));
    const target = Buffer.alloc(10);
    await ask((done) => sftp.read(handle, target, 0, 10, 999_998, done));
    assert.equal(target.toString('latin1', 0, 5), '\0\0tai');
    await assert.rejects(ask((done) => sftp.mkdir('/tmp/random', done)));
    await assert.rejects(
      ask((done) => sftp.opendir('/nope', done)),
      /No such file/,
    );
    await ask((done) => sftp.close(handle, done));
    connection.end();
    assert.equal((await ssh(['stat -c %s /tmp/random'])).stdout.toString(), '1000003\n');
  });

  test('scp copies folders both ways, and says what its old way needs', async () => {
    const local = join(folder, 'tree');
    mkdirSync(join(local, 'deep/er'), { recursive: true });
    for (let n = 0; n < 20; n++) writeFileSync(join(local, `deep/f${n}`), randomBytes(n * 1000));
    writeFileSync(join(local, 'deep/er/x'), 'x');
    assert.equal((await run('scp', [...options(), '-rq', local, `${at()}:`])).status, 0);
    assert.equal(
      (await run('scp', [...options(), '-rqp', `${at()}:tree`, join(folder, 'tree-back')])).status,
      0,
    );
    execFileSync('diff', ['-r', local, join(folder, 'tree-back')]);
    const old = await run('scp', [...options(), '-O', join(local, 'deep/f1'), `${at()}:`]);
    assert.notEqual(old.status, 0);
    assert.match(old.stderr, /use scp without -O/);
  });

  test('rsync works where the sandbox has it', { skip: lacks('rsync') }, async () => {
    const local = join(folder, 'rsync');
    mkdirSync(join(local, 'sub'), { recursive: true });
    writeFileSync(join(local, 'big'), randomBytes(2_000_000));
    for (let n = 0; n < 50; n++) writeFileSync(join(local, `sub/f${n}`), `${n}`);
    const shell = ['ssh', ...options()].join(' ');
    const sync = (from: string, to: string) => run('rsync', ['-a', '--delete', '-e', shell, from, to]);
    const without = await sync(`${local}/`, `${at()}:synced/`);
    assert.match(without.stderr, /rsync needs the program rsync in the sandbox/);

    // This machine's own, with its loader and libraries.
    const libraries = execFileSync('ldd', ['/usr/bin/rsync'], { encoding: 'utf8' });
    const files = [...libraries.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
    const loader = files.find((path) => /\/ld-[^/]*$/.test(path))!;
    await ssh(['mkdir -p /opt/rsync'], '', 'root');
    await run('scp', [...options(), '-q', '/usr/bin/rsync', ...files, `${at('root')}:/opt/rsync/`]);
    const wrapper = `#!/bin/sh\nexec /opt/rsync/${loader.split('/').at(-1)} --library-path /opt/rsync /opt/rsync/rsync "$@"\n`;
    await ssh(['cat > /usr/local/bin/rsync && chmod 755 /usr/local/bin/rsync'], wrapper, 'root');

    const up = await sync(`${local}/`, `${at()}:synced/`);
    assert.equal(up.status, 0, up.stderr);
    writeFileSync(join(local, 'sub/f1'), 'changed');
    rmSync(join(local, 'sub/f2'));
    assert.equal((await sync(`${local}/`, `${at()}:synced/`)).status, 0);
    assert.equal((await sync(`${at()}:synced/`, `${folder}/rsync-back/`)).status, 0);
    execFileSync('diff', ['-r', local, join(folder, 'rsync-back')]);
  });

  /** ssh with a forwarding and no command; `ready` says that it is there. */
  const forward = async (args: string[]) => {
    const child = start('ssh', [...options(), '-o', 'ExitOnForwardFailure=yes', ...args, at()]);
    return { child, [Symbol.asyncDispose]: async () => void child.kill() };
  };
  const freePort = async () => {
    const probe = createTcpServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port: free } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    return free;
  };

  test('a port of the guest is forwarded to here, and nothing but its own', async () => {
    await sandbox.commands.run('python3 -m http.server --bind 127.0.0.1 8123 -d /etc', { background: true });
    const [own, other] = [await freePort(), await freePort()];
    await using _ = await forward(['-N', '-L', `${own}:localhost:8123`, '-L', `${other}:192.0.2.1:80`]);
    let answer = '';
    await until('the forwarding answers', async () => {
      answer = await fetch(`http://127.0.0.1:${own}/passwd`).then(
        (response) => response.text(),
        () => '',
      );
      return answer !== '';
    });
    assert.match(answer, /^root:/);
    await assert.rejects(fetch(`http://127.0.0.1:${other}/`));
    const envd = await freePort();
    await using __ = await forward(['-N', '-L', `${envd}:localhost:49983`]);
    await until('ssh listens', async () => connects(envd));
    await assert.rejects(fetch(`http://127.0.0.1:${envd}/health`));
  });
  const connects = (to: number) =>
    new Promise<boolean>((resolve) => {
      const socket = connect(to, '127.0.0.1', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });

  test('a port of here is forwarded to the guest', async () => {
    const bytes = randomBytes(2_000_000);
    const here = createServer((_req, res) => res.end(bytes)).listen(0, '127.0.0.1');
    await once(here, 'listening');
    try {
      const target = `localhost:${(here.address() as AddressInfo).port}`;
      const fetchIt = `python3 -c 'import urllib.request,hashlib; print(hashlib.sha256(urllib.request.urlopen("http://127.0.0.1:9191").read()).hexdigest())'`;
      const fetched = await run('ssh', [...options(), '-R', `9191:${target}`, at(), fetchIt]);
      assert.equal(
        fetched.stdout.toString().trim(),
        createHash('sha256').update(bytes).digest('hex'),
        fetched.stderr,
      );
      const low = await run('ssh', [
        ...options(),
        '-o',
        'ExitOnForwardFailure=yes',
        '-R',
        `81:${target}`,
        at(),
        'true',
      ]);
      assert.notEqual(low.status, 0);
      const asRoot = await run('ssh', [
        ...options(),
        '-o',
        'ExitOnForwardFailure=yes',
        '-R',
        `81:${target}`,
        at('root'),
        'true',
      ]);
      assert.equal(asRoot.status, 0, asRoot.stderr);
      const { stdout } = await sandbox.commands.run('cat /proc/net/tcp | grep -ci ":23E7 .* 0A " || true');
      assert.equal(stdout.trim(), '0', 'and it is not listened on any more');
    } finally {
      here.close();
    }
  });

  test('nobody else comes in', async () => {
    const key = await run('ssh', [...options('stranger'), at(), 'true']);
    assert.equal(key.status, 255);
    assert.match(key.stderr, /Permission denied/);
    const none = await run('ssh', [...options(), '-o', 'PubkeyAuthentication=no', at(), 'true']);
    assert.match(none.stderr, /Permission denied/);
    for (const name of [
      'root',
      'inosuchsandbox0000000',
      `${sandbox.sandboxId}+../x`,
      `${sandbox.sandboxId}+-x`,
      '',
    ]) {
      const { status } = await run('ssh', [...options(), '-l', name, '127.0.0.1', 'true']);
      assert.equal(status, 255, name);
    }
  });

  test('a token opens its own sandbox only, for as long as it is valid', async () => {
    const other = await Sandbox.create('default-sandbox', { timeoutMs: 600_000 });
    const asks = join(folder, 'ask');
    writeFileSync(asks, '#!/bin/sh\necho "$TOKEN"\n', { mode: 0o755 });
    const enter = async (token: string, how: string, id = sandbox.sandboxId) => {
      const args = [
        ...options(),
        '-o',
        'BatchMode=no',
        '-o',
        'NumberOfPasswordPrompts=1',
        '-o',
        `PreferredAuthentications=${how}`,
      ];
      const env = { SSH_ASKPASS: asks, SSH_ASKPASS_REQUIRE: 'force', TOKEN: token };
      // The first of two equal options counts.
      const child = start('ssh', ['-o', 'BatchMode=no', ...args, `${id}@127.0.0.1`, 'echo in'], env);
      return (await finish(child)).stdout.toString();
    };
    const { json } = await api('POST', `/sandboxes/${sandbox.sandboxId}/ssh-token`, {});
    for (const how of ['password', 'keyboard-interactive']) {
      assert.equal(await enter(json.token, how), 'in\n', how);
      assert.equal(await enter(`${json.token}0`, how), '', how);
      assert.equal(await enter(json.token, how, other.sandboxId), '', how);
    }
    const short = await api('POST', `/sandboxes/${sandbox.sandboxId}/ssh-token`, { ttlSeconds: 1 });
    await sleep(Date.parse(short.json.expiresAt) - Date.now() + 50);
    assert.equal(await enter(short.json.token, 'password'), '');
    await other.kill();
  });

  test('a thousand channels are bounded, and hurt nobody else', async () => {
    const connection = await client();
    const opened = await Promise.all(
      Array.from(
        { length: 1000 },
        () =>
          new Promise<boolean>((resolve) =>
            connection.exec('sleep 7010', (error, channel) => {
              channel?.on('error', () => {});
              resolve(!error);
            }),
          ),
      ),
    );
    const running = opened.filter(Boolean).length;
    assert.ok(running > 0 && running <= 64, `${running} were let in`);
    assert.equal((await ssh(['echo still here'])).stdout.toString(), 'still here\n');
    connection.destroy();
    await until('all of them are gone', async () => (await count('7010')) === 0);
  });

  test('an image without shell, libc and users has a shell and files, too', async () => {
    const layout = join(folder, 'scratch');
    await makeOciLayout(layout, await scratchImage());
    const spec = { template: 'ssh-scratch', dockerImg: `oci:${layout}`, vcpu: 1, memMB: 256, diskMB: 64 };
    writeFileSync(join(folder, 'scratch.json'), JSON.stringify(spec));
    templateManager(['--template', join(folder, 'scratch.json')]);
    const bare = await Sandbox.create('ssh-scratch', { timeoutMs: 600_000 });
    try {
      const shell = await run(
        'ssh',
        [...options(), '-T', `${bare.sandboxId}@127.0.0.1`],
        'echo $((6 * 7)); exit 3\n',
      );
      assert.deepEqual([shell.status, shell.stdout.toString()], [3, '42\n'], shell.stderr);
      writeFileSync(join(folder, 'small'), 'to a bare image');
      const copied = await run('scp', [
        ...options(),
        '-q',
        join(folder, 'small'),
        `${bare.sandboxId}@127.0.0.1:/tmp/small`,
      ]);
      assert.equal(copied.status, 0, copied.stderr);
      assert.equal(await bare.files.read('/tmp/small'), 'to a bare image');
    } finally {
      await bare.kill();
    }
  });

  test('the CLI sets OpenSSH up, so that ssh root@ID works', async () => {
    const home = join(folder, 'home');
    const keysBefore = (await api('GET', '/ssh/keys')).json;
    mkdirSync(join(home, '.ssh'), { recursive: true });
    writeFileSync(join(home, '.ssh/config'), 'Host elsewhere\n  User me\n');
    const cli = (...args: string[]) =>
      finish(start(join(checkout, 'bin/sandbox-cli'), args, { ...server.env, HOME: home }));
    assert.equal((await cli('ssh-config', '--install')).status, 0);
    const config = readFileSync(join(home, '.ssh/config'), 'utf8');
    assert.equal((await cli('ssh-config', '--install')).status, 0);
    assert.equal(readFileSync(join(home, '.ssh/config'), 'utf8'), config);
    const enter = (name: string) =>
      run('ssh', ['-F', join(home, '.ssh/config'), '-o', 'BatchMode=yes', name, 'id -un; hostname']);
    for (const [name, user] of [
      [`root@${sandbox.sandboxId}`, 'root'],
      [`${sandbox.sandboxId}.sandbox`, 'root'],
      [`user@${sandbox.sandboxId}`, 'user'],
    ] as const) {
      const { stdout, stderr } = await enter(name);
      assert.equal(stdout.toString(), `${user}\n${sandbox.sandboxId}\n`, stderr);
    }
    const resolved = (
      await run('ssh', ['-F', join(home, '.ssh/config'), '-G', 'internal-build-host01'])
    ).stdout.toString();
    assert.doesNotMatch(resolved, /ssh-proxy/);
    const exec = await cli('ssh', sandbox.sandboxId.slice(0, 8), '--', 'printf', '%s,', 'a  b', "c'd");
    assert.deepEqual([exec.status, exec.stdout.toString()], [0, "a  b,c'd,"], exec.stderr);
    const without = await finish(
      spawn(process.execPath, [join(checkout, 'packages/cli/src/main.ts'), 'ssh', sandbox.sandboxId], {
        env: { ...server.env, HOME: home, PATH: '/nonexistent' },
        stdio: 'pipe',
      }),
    );
    assert.match(without.stderr, /error: The program ssh cannot be run/);
    assert.equal((await cli('ssh-config', '--uninstall')).status, 0);
    assert.equal(readFileSync(join(home, '.ssh/config'), 'utf8'), 'Host elsewhere\n  User me\n');
    assert.deepEqual((await api('GET', '/ssh/keys')).json, keysBefore);
  });

  test('a sandbox that ends takes its sessions with it; the host key outlives the server', async () => {
    const victim = await Sandbox.create('default-sandbox', { timeoutMs: 600_000 });
    const child = start('ssh', [...options(), `${victim.sandboxId}@127.0.0.1`, 'echo in; sleep 1000']);
    await once(child.stdout!, 'data');
    const ended = once(child, 'close');
    await victim.kill();
    assert.deepEqual(await ended, [255, null]);
    const gone = await run('ssh', [...options(), `${victim.sandboxId}@127.0.0.1`, 'true']);
    assert.match(gone.stderr, /Permission denied/);

    const { hostKey } = await door();
    assert.match(
      execFileSync('ssh-keyscan', ['-p', String(port), '127.0.0.1'], { encoding: 'utf8', stdio: 'pipe' }),
      new RegExp(hostKey.replace(/[+/]/g, '.')),
    );
    await server.crashAndRestart();
    assert.equal((await door()).hostKey, hostKey);
    assert.equal((await ssh(['echo again'])).stdout.toString(), 'again\n');
  });
});
