import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FakeBackend } from '../../testing/fake-backend.ts';
import { runCli } from '../../testing/run-cli.ts';

async function setUp() {
  const held = new AsyncDisposableStack();
  const backend = held.use(await FakeBackend.start());
  const { path: here } = held.use(await mkdtempDisposable(join(tmpdir(), 'cli-cp-')));
  const id = backend.addSandbox();
  const cp = (source: string, target: string, input?: string | Buffer) =>
    runCli(['sandbox', 'cp', source, target], { env: backend.env, cwd: here, ...(input && { input }) });
  return {
    backend,
    here,
    id,
    guest: backend.envd.root,
    cp,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

const tree = async (path: string) => (await readdir(path, { recursive: true })).toSorted();

test('a file there and back again', async () => {
  await using at = await setUp();
  const content = Buffer.alloc(3_000_001, 'binary\0\xff');
  await writeFile(join(at.here, 'a'), content);
  await writeFile(join(at.here, 'empty'), '');
  assert.deepEqual(await at.cp('a', `${at.id}:/data/b`), { status: 0, stdout: '', stderr: '' });
  assert.deepEqual(await readFile(join(at.guest, 'data/b')), content);
  assert.equal((await at.cp('empty', `${at.id}:/data/`)).status, 0);
  assert.deepEqual(await tree(at.guest), ['data', 'data/b', 'data/empty']);

  assert.equal((await at.cp(`${at.id}:/data/b`, 'new/')).status, 0);
  assert.deepEqual(await readFile(join(at.here, 'new/b')), content);
  assert.equal((await at.cp(`${at.id}:/data/empty`, './x')).status, 0);
  assert.deepEqual(await tree(at.here), ['a', 'empty', 'new', 'new/b', 'x']);
});

test('standard input and output', async () => {
  await using at = await setUp();
  assert.equal((await at.cp('-', `${at.id}:/from-stdin`, 'hello\n')).status, 0);
  assert.deepEqual(await at.cp(`${at.id}:/from-stdin`, '-'), { status: 0, stdout: 'hello\n', stderr: '' });
});

test('a folder with all that is in it, into a folder that is there or to a new name', async () => {
  await using at = await setUp();
  await mkdir(join(at.here, 'src/sub/empty'), { recursive: true });
  await writeFile(join(at.here, 'src/run.sh'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(at.here, 'src/sub/file'), 'text');
  await symlink('sub/file', join(at.here, 'src/link'));
  await symlink('nowhere', join(at.here, 'src/broken'));
  const copied = await at.cp('src', `${at.id}:/dst`);
  assert.equal(copied.status, 0);
  assert.match(copied.stderr, /^src\/broken was left out/);
  const inside = ['link', 'run.sh', 'sub', 'sub/empty', 'sub/file'];
  assert.deepEqual(await tree(join(at.guest, 'dst')), inside);

  assert.equal((await at.cp(`${at.id}:/dst`, 'back')).status, 0);
  assert.deepEqual(await tree(join(at.here, 'back')), inside);
  assert.equal((await at.cp(`${at.id}:/dst`, 'back')).status, 0);
  assert.deepEqual(await tree(join(at.here, 'back/dst')), inside);
  assert.equal((await at.cp('src/.', `${at.id}:/dst`)).status, 0);
  assert.deepEqual(await tree(join(at.guest, 'dst')), inside);
});

test('programs stay programs', async () => {
  await using at = await setUp();
  await writeFile(join(at.here, 'run'), '#!/bin/sh\n', { mode: 0o755 });
  // A relative path, which envd's files and the fake's programs both look for in the same folder.
  const { stderr } = await at.cp('run', `${at.id}:run`);
  assert.equal(stderr, '');
  assert.equal((await stat(join(at.guest, 'run'))).mode & 0o111, 0o111);
  await at.cp(`${at.id}:run`, 'again');
  assert.equal((await stat(join(at.here, 'again'))).mode & 0o111, 0o111);
});

test('a guest cannot name a file outside the folder that it is copied to', async () => {
  await using at = await setUp();
  await mkdir(join(at.guest, 'dir'));
  for (const name of ['../escaped', '..', '.', '', '/etc/passwd', 'a\0b']) {
    at.backend.envd.names = [name];
    const { status, stderr } = await at.cp(`${at.id}:/dir`, 'target');
    assert.equal(status, 2, name);
    assert.match(stderr, /The sandbox names a file/);
  }
  assert.deepEqual(await tree(at.here), ['target', 'target/dir']);
});

test('what cannot be copied is said, and nothing half is left', async () => {
  await using at = await setUp();
  assert.equal((await at.cp('missing', `${at.id}:/x`)).status, 4);
  assert.equal((await at.cp(`${at.id}:/missing`, 'x')).status, 4);
  assert.equal((await at.cp(`${at.id}:/a`, `${at.id}:/b`)).status, 2);
  assert.equal((await at.cp('a', 'b')).status, 2);
  await writeFile(join(at.here, 'file'), '');
  await mkdir(join(at.guest, 'dir'));
  assert.equal((await at.cp(`${at.id}:/dir`, 'file')).status, 5);
  assert.deepEqual(await tree(at.here), ['file']);
});
