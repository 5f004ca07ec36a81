import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS } from './commands.ts';
import { FakeBackend } from './testing/fake-backend.ts';
import { runCli, SANDBOX_CLI } from './testing/run-cli.ts';

/** A machine on which no server runs: the port is one that nobody listens on. */
const alone = {
  PATH: process.env.PATH,
  SANDBOX_DATA_ROOT: '/nonexistent',
  E2B_API_URL: 'http://127.0.0.1:1',
};

test('without a server every command says how to start it', async () => {
  const { status, stdout, stderr } = await runCli(['sandbox', 'ls'], { env: alone });
  assert.deepEqual([status, stdout], [7, '']);
  assert.match(
    stderr,
    /^error: The server is not running.*\nhint: Start it with: bash scripts\/start\.sh\n$/,
  );
  const json = await runCli(['template', 'ls', '--json'], { env: alone });
  assert.equal(JSON.parse(json.stderr).error.code, 'unavailable');
});

test('-v shows the causes', async () => {
  for (const flag of ['-v', '-vv', '--verbose']) {
    assert.match(
      (await runCli([flag, 'sandbox', 'ls'], { env: alone })).stderr,
      /cause: .*ECONNREFUSED/,
      flag,
    );
  }
  assert.match((await runCli(['sandbox', 'ls', '-v'], { env: alone })).stderr, /ECONNREFUSED/);
});

test('a command that is none is met with a suggestion', async () => {
  const top = await runCli(['sandbx'], { env: alone });
  assert.deepEqual(top, {
    status: 2,
    stdout: '',
    stderr: "error: Unknown command 'sandbx'\nhint: Did you mean sandbox?\n",
  });
  const below = await runCli(['sandbox', 'lss', '--json'], { env: alone });
  assert.equal(below.status, 2);
  assert.deepEqual(JSON.parse(below.stderr).error, {
    code: 'invalid_argument',
    message: "Unknown command 'lss'",
    hint: 'Did you mean ls?',
  });
});

test('wrong words are refused with status 2', async () => {
  for (const args of [
    ['sandbox', 'ls', '--nope'],
    ['sandbox', 'exec'],
    ['sandbox', 'create', '--timeout', 'soon'],
    ['sandbox', 'create', '-m', 'noequals'],
    ['bench', '--count', '0'],
    ['completion', 'fish'],
    ['-p', 'x', 'sandbox', 'ls'],
    ['-i', 'a b', 'sandbox', 'ls'],
  ]) {
    const { status, stdout, stderr } = await runCli(args, { env: alone });
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, /^error: /, args.join(' '));
  }
});

test('every command has help, in every way to ask for it', async () => {
  const paths = Object.entries(COMMANDS).flatMap(([name, { commands = {} }]) => [
    [name],
    ...Object.keys(commands).map((child) => [name, child]),
  ]);
  for (const path of paths) {
    const { status, stdout, stderr } = await runCli([...path, '--help'], { env: alone });
    assert.deepEqual([status, stderr], [0, ''], path.join(' '));
    assert.match(stdout, new RegExp(`^Usage: sandbox-cli ${path.join(' ')}`));
  }
  assert.match((await runCli(['sandbox', 'help', 'exec'], { env: alone })).stdout, /--tty/);
  assert.equal((await runCli(['sandbox'], { env: alone })).status, 2);
});

test("the seed's -i and -p find the server, wherever they stand", async () => {
  await using backend = await FakeBackend.start();
  const env = { ...backend.env, E2B_API_URL: 'http://127.0.0.1:1' };
  const { port } = new URL(backend.apiUrl);
  for (const args of [
    ['-i', '127.0.0.1', '-p', port, 'sandbox', 'ls'],
    ['sandbox', '-p', port, 'ls'],
    ['sandbox', 'ls', '--ip', 'localhost', '--port', port],
  ]) {
    assert.equal((await runCli(args, { env })).status, 0, args.join(' '));
  }
});

test('env prints what a shell can read', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'cli-env-'));
  await writeFile(join(folder.path, 'api-key'), "e2b_it's\n");
  await writeFile(join(folder.path, 'server.json'), JSON.stringify({ apiUrl: 'http://127.0.0.1:4000' }));
  const env = { PATH: process.env.PATH, SANDBOX_DATA_ROOT: folder.path };
  const script = `eval "$("$0" env)"; printf '%s ' "$E2B_API_URL" "$E2B_SANDBOX_URL" "$E2B_API_KEY"`;
  const read = execFileSync('/bin/sh', ['-c', script, SANDBOX_CLI], { env, encoding: 'utf8' });
  assert.equal(read, "http://127.0.0.1:4000 http://127.0.0.1:3002 e2b_it's ");
  const json = await runCli(['env', '--json'], { env });
  assert.equal(JSON.parse(json.stdout).E2B_API_KEY, "e2b_it's");
  assert.equal((await runCli(['env'], { env: alone })).status, 7);
});

test('templates', async () => {
  await using backend = await FakeBackend.start();
  const { env } = backend;
  const table = await runCli(['template', 'ls'], { env });
  assert.match(table.stdout, /^NAME .*\ndefault-sandbox +0b9a2c1e\S+ +2 +512 MiB +1\.5 GiB +2026-/);
  assert.match((await runCli(['template', 'inspect', 'default-sandbox'], { env })).stdout, /builds +1\n/);
  const one = await runCli(['template', 'inspect', 'default-sandbox', '--json'], { env });
  assert.equal(JSON.parse(one.stdout).buildCount, 1);
  assert.equal((await runCli(['template', 'inspect', 'nope'], { env })).status, 4);
  assert.equal((await runCli(['template', 'delete', 'default-sandbox'], { env })).status, 0);
  assert.equal((await runCli(['template', 'delete', '../status'], { env })).status, 4);
  assert.deepEqual(backend.requests.at(-1)?.url, '/templates/..%2Fstatus');
});

test('doctor says in its status and as JSON whether the server is well', async () => {
  await using backend = await FakeBackend.start();
  const well = JSON.parse((await runCli(['doctor', '--json'], { env: backend.env })).stdout);
  assert.equal(well.serverPid, process.pid);
  const statusOf = (report: { findings: { id: string; status: string }[] }, id: string) =>
    report.findings.find((finding) => finding.id === id)?.status;
  assert.deepEqual([statusOf(well, 'server'), statusOf(well, 'data-plane')], ['ok', 'ok']);

  const ill = await runCli(['doctor', '--json'], { env: alone });
  const report = JSON.parse(ill.stdout);
  assert.deepEqual([ill.status, report.ok, report.serverPid], [1, false, null]);
  assert.equal(statusOf(report, 'server'), 'fail');
  assert.match(
    (await runCli(['doctor'], { env: alone })).stdout,
    /fail {2}server: .*\n {6}fix: Start it with/,
  );
});

test('version, through a link of another name and from another folder', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'cli-link-'));
  await symlink(SANDBOX_CLI, join(folder.path, 'first'));
  await symlink('first', join(folder.path, 'second'));
  const printed = execFileSync('./second', ['version'], { cwd: folder.path, encoding: 'utf8' });
  assert.match(printed, /^sandbox-cli \d+\.\d+\.\d+\n$/);
});

test('a reader that goes away is no error', async () => {
  const child = spawn('/bin/sh', ['-c', '"$0" completion bash | head -n 1', SANDBOX_CLI], { env: alone });
  let stderr = '';
  child.stderr.on('data', (data) => {
    stderr += String(data);
  });
  const [status] = await once(child, 'close');
  assert.deepEqual([status, stderr], [0, '']);
});
