import assert from 'node:assert/strict';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { flatten } from './flatten.ts';
import { blobPath } from './layout/oci.ts';
import { openLayout } from './layout/open.ts';
import { scanLayers } from './scan.ts';
import { type ImageEntry, makeOciLayout } from './testing/make-image.ts';
import { writeTree } from './write-tree.ts';

const op = () => new Operation('test', { timeoutMs: 60_000 });
const root = process.getuid?.() === 0 ? false : 'unpacking needs root';

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'write-tree-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function unpack(path: string, layers: ImageEntry[][], compression?: 'none' | 'gzip' | 'zstd') {
  await makeOciLayout(join(path, 'image'), { layers }, compression ? { compression } : {});
  const image = await openLayout(join(path, 'image'), { name: 'the image', isBase: false });
  const tree = flatten(await scanLayers(op(), image.layers));
  const out = join(path, 'out');
  await mkdir(out);
  await writeTree(op(), tree, image.layers, out);
  return out;
}

test('an image is unpacked with devices, links, owners, modes, times and attributes', {
  skip: root,
}, async () => {
  await using work = await folder();
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
  const big = Buffer.alloc(3_000_001, 'x');
  const long = `${'d'.repeat(120)}/${'n'.repeat(200)}`;
  const out = await unpack(work.path, [
    [
      { path: 'dev/null', type: 'char-device', mode: 0o666, device: { major: 1, minor: 3 } },
      { path: 'dev/sda', type: 'block-device', mode: 0o660, gid: 6, device: { major: 8, minor: 0 } },
      { path: 'run/pipe', type: 'fifo', mode: 0o600 },
      { path: 'bin/su', content: 'su', mode: 0o4755 },
      {
        path: 'bin/ping',
        content: 'ping',
        mode: 0o755,
        xattrs: new Map([['security.capability', capability]]),
      },
      { path: 'etc/shadow', content: 'secret', mode: 0, uid: 0, gid: 42 },
      { path: 'big', content: big, uid: 3_000_000, gid: 70_000 },
      { path: 'locked', type: 'directory', mode: 0o555, mtime: 86_400 },
      { path: 'locked/inside', content: 'x' },
      { path: long, content: 'long' },
      { path: 'größe', content: 'utf-8' },
      { path: 'one', content: 'first' },
      { path: 'loop', type: 'symlink', mode: 0o777, target: '/etc/../etc' },
    ],
    [
      { path: 'two', type: 'hardlink', target: 'one' },
      { path: 'three', type: 'hardlink', target: '/big' },
      { path: 'link2', type: 'hardlink', target: 'loop' },
    ],
    [{ path: 'one', content: 'second' }],
  ]);
  const stat = (path: string) => lstat(join(out, path));
  assert.equal((await stat('dev/null')).rdev, (1 << 8) | 3);
  assert((await stat('dev/sda')).isBlockDevice());
  assert.equal((await stat('dev/sda')).gid, 6);
  assert((await stat('run/pipe')).isFIFO());
  assert.equal((await stat('bin/su')).mode & 0o7777, 0o4755);
  assert.equal((await stat('etc/shadow')).mode & 0o7777, 0);
  assert.equal((await stat('etc/shadow')).gid, 42);
  assert.equal((await stat('big')).uid, 3_000_000);
  assert.equal((await stat('locked')).mtimeMs, 86_400_000);
  assert.equal((await stat('locked')).mode & 0o7777, 0o555);
  assert.equal((await stat('three')).ino, (await stat('big')).ino);
  assert.deepEqual(await readFile(join(out, 'big')), big);
  assert.equal(await readFile(join(out, 'one'), 'utf8'), 'second');
  assert.equal(await readFile(join(out, 'two'), 'utf8'), 'first');
  assert.equal(await readFile(join(out, long), 'utf8'), 'long');
  assert.equal(await readFile(join(out, 'größe'), 'utf8'), 'utf-8');
  assert.equal(await readlink(join(out, 'loop')), '/etc/../etc');
  assert.equal((await stat('link2')).ino, (await stat('loop')).ino);
  const { stdout } = await run('python3', [
    '-c',
    'import os,sys;sys.stdout.write(os.getxattr(sys.argv[1],"security.capability").hex())',
    join(out, 'bin/ping'),
  ]);
  assert.equal(stdout, Buffer.from(capability, 'latin1').toString('hex'));
});

test('links that lead out of the image write nothing outside', { skip: root }, async () => {
  await using work = await folder();
  const victim = join(work.path, 'victim');
  await mkdir(victim);
  await writeFile(join(victim, 'kept'), 'safe');
  const up = '../'.repeat(20);
  const out = await unpack(
    work.path,
    [
      [
        { path: 'abs', type: 'symlink', target: victim },
        { path: 'abs/evil', content: '1' },
        { path: 'rel', type: 'symlink', target: `${up}${victim}` },
        { path: 'rel/evil2', content: '2' },
        { path: 'file', type: 'symlink', target: join(victim, 'kept') },
        { path: 'file', content: 'overwritten' },
        { path: 'hard', type: 'hardlink', target: 'file' },
      ],
      [
        { path: 'dir', type: 'directory' },
        { path: 'dir/x', content: 'x' },
      ],
      [
        { path: 'dir', type: 'symlink', target: victim },
        { path: 'dir/evil3', content: '3' },
        { path: '/etc/absolute', content: '4' },
      ],
    ],
    'zstd',
  );
  assert.deepEqual(await readdir(victim), ['kept']);
  assert.equal(await readFile(join(victim, 'kept'), 'utf8'), 'safe');
  assert.deepEqual((await readdir(join(out, victim))).sort(), ['evil', 'evil2', 'evil3']);
  assert.equal(await readFile(join(out, 'etc/absolute'), 'utf8'), '4');
  assert.equal(await readFile(join(out, 'hard'), 'utf8'), 'overwritten');
});

test('a layer with other content than its digest says is refused', { skip: root }, async () => {
  await using work = await folder();
  for (const compression of ['none', 'gzip'] as const) {
    const layout = join(work.path, compression);
    await makeOciLayout(layout, { layers: [[{ path: 'a', content: 'x'.repeat(5000) }]] }, { compression });
    const image = await openLayout(layout, { name: 'the image', isBase: false });
    const blob = blobPath(layout, image.layers[0]!.digest);
    await chmod(blob, 0o644);
    await using file = await open(blob, 'r+');
    // The time in a gzip header, or a byte of the content: the archive itself stays sound.
    await file.write(Buffer.from('Z'), 0, 1, compression === 'gzip' ? 4 : 600);
    await assert.rejects(scanLayers(op(), image.layers), (error) => {
      assert(error instanceof SandboxError);
      assert.match(error.message, /damaged/);
      return true;
    });
  }
});

test('an image beyond the limits is refused while it is read', async () => {
  await using work = await folder();
  const layers = [[{ path: 'a', content: 'x'.repeat(1000) }, { path: 'b' }]];
  await makeOciLayout(work.path, { layers });
  const image = await openLayout(work.path, { name: 'the image', isBase: false });
  const sound = { entries: 2, unpackedBytes: 1000, metadataBytes: 2 };
  await scanLayers(op(), image.layers, sound);
  for (const limit of ['entries', 'unpackedBytes', 'metadataBytes'] as const) {
    const limits = { ...sound, [limit]: sound[limit] - 1 };
    await assert.rejects(scanLayers(op(), image.layers, limits), { code: 'invalid_argument' });
  }
});
