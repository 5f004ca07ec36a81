import assert from 'node:assert/strict';
import { copyFile, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Operation, run } from '@sandbox-backend/kit';
import { cloneDisk } from './clone.ts';
import { flattenDisk } from './flatten.ts';
import { qcow2Header } from './qcow2.ts';
import { canReflink } from './reflink.ts';
import { makeReflinkVolume } from './reflink-volume.ts';

const operation = () => new Operation('test', { timeoutMs: 60_000 });

async function scratch() {
  const path = await mkdtemp(join(tmpdir(), 'disks-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A sparse disk with something at its beginning, in the middle and at its end. */
async function makeDisk(path: string, sizeBytes: number): Promise<void> {
  await writeFile(path, 'begin');
  await truncate(path, sizeBytes);
  await using file = await open(path, 'r+');
  await file.write('middle', Math.floor(sizeBytes / 2));
  await file.write('end', sizeBytes - 3);
}

test('an overlay is what qemu-img takes for a sound image equal to what lies below', async () => {
  await using folder = await scratch();
  const base = join(folder.path, 'base.ext4');
  const table: [sizeBytes: number, clusterBits: number][] = [
    [512, 16],
    [64 * 2 ** 20, 16],
    [64 * 2 ** 20 + 512, 16],
    [3 * 2 ** 30, 16],
    [512 * 2 ** 30, 16],
    [64 * 2 ** 20, 12],
    [40 * 2 ** 20, 21],
  ];
  for (const [sizeBytes, clusterBits] of table) {
    await makeDisk(base, sizeBytes);
    const overlay = join(folder.path, 'overlay.qcow2');
    await writeFile(
      overlay,
      qcow2Header({ backingFile: base, backingFormat: 'raw', sizeBytes, clusterBits }),
    );
    await run('qemu-img', ['check', '-q', overlay]);
    const info = JSON.parse((await run('qemu-img', ['info', '--output=json', overlay])).stdout);
    assert.equal(info['virtual-size'], sizeBytes);
    assert.equal(info['cluster-size'], 2 ** clusterBits);
    assert.equal(info['backing-filename'], base);
    assert.equal(info['backing-filename-format'], 'raw');
    await run('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', 'raw', overlay, base]);
    // It must also stay sound when it is written to.
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 0 512', overlay]);
    await run('qemu-img', ['check', '-q', overlay]);
    await assert.rejects(run('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', 'raw', overlay, base]));
  }
});

test('a disk or a path that the format cannot hold is refused', () => {
  const overlay = { backingFile: '/build/a', backingFormat: 'raw', sizeBytes: 2 ** 30 } as const;
  for (const wrong of [
    { backingFile: 'x'.repeat(1024) },
    { backingFile: '' },
    { sizeBytes: 0 },
    { sizeBytes: 2 ** 52, clusterBits: 9 },
    { clusterBits: 8 },
  ]) {
    assert.throws(() => qcow2Header({ ...overlay, ...wrong }), RangeError, JSON.stringify(wrong));
  }
});

test('a clone is an overlay where blocks cannot be shared', async (t) => {
  await using folder = await scratch();
  if (await canReflink(folder.path)) return t.skip('this file system shares blocks');
  const from = join(folder.path, 'rootfs.ext4');
  await makeDisk(from, 2 ** 27);
  const spec = { from, directory: folder.path, name: 'clone', formats: ['raw', 'qcow2'] } as const;
  const clone = await cloneDisk(operation(), { ...spec, backing: '/build/rootfs.ext4' });
  assert.deepEqual(clone, { path: join(folder.path, 'clone.qcow2'), format: 'qcow2' });
  const { stdout } = await run('qemu-img', ['info', '-U', '--output=json', clone.path]);
  assert.equal(JSON.parse(stdout)['backing-filename'], '/build/rootfs.ext4');
  await assert.rejects(cloneDisk(operation(), { ...spec, backing: '/build/rootfs.ext4' }), {
    code: 'already_exists',
  });

  const flat = join(folder.path, 'flat.ext4');
  await run('qemu-io', [
    '-c',
    'write -P 7 4096 512',
    `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: clone.path }, backing: { driver: 'raw', file: { driver: 'file', filename: from } } })}`,
  ]);
  await flattenDisk(operation(), {
    from: clone.path,
    backing: { path: from, format: 'raw' },
    to: flat,
    format: 'raw',
  });
  await using expected = await open(from, 'r+');
  await expected.write(Buffer.alloc(512, 7), 0, 512, 4096);
  await run('cmp', [flat, from]);
});

test('a clone is a sparse copy where neither is possible', async (t) => {
  await using folder = await scratch();
  if (await canReflink(folder.path)) return t.skip('this file system shares blocks');
  const from = join(folder.path, 'rootfs.ext4');
  await makeDisk(from, 256 * 2 ** 20);
  const clone = await cloneDisk(operation(), {
    from,
    directory: folder.path,
    name: 'clone',
    formats: ['raw'],
  });
  assert.equal(clone.format, 'raw');
  await run('cmp', [clone.path, from]);
  assert.ok((await stat(clone.path)).blocks * 512 < 2 ** 20);
});

test('a failed clone leaves nothing, and a name cannot leave its folder', async () => {
  await using folder = await scratch();
  const missing = { from: join(folder.path, 'missing'), directory: folder.path, formats: ['raw'] } as const;
  await assert.rejects(cloneDisk(operation(), { ...missing, name: 'clone' }));
  await assert.rejects(cloneDisk(operation(), { ...missing, name: '../clone' }), {
    code: 'invalid_argument',
  });
  assert.deepEqual(await readdir(folder.path), []);
});

test("an overlay that names another file for its data is not flattened: it could be one of this host's", async () => {
  await using folder = await scratch();
  const secret = join(folder.path, 'secret');
  await writeFile(secret, 'root:secret'.padEnd(1024));
  const base = join(folder.path, 'base.ext4');
  await makeDisk(base, 2 ** 20);
  const hostile = join(folder.path, 'hostile.qcow2');
  const options = `data_file=${join(folder.path, 'd')},data_file_raw=off`;
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, hostile, '1M']);
  const spec = {
    backing: { path: base, format: 'raw' },
    to: join(folder.path, 'out'),
    format: 'raw',
  } as const;
  await assert.rejects(flattenDisk(operation(), { from: hostile, ...spec }), { code: 'failed_precondition' });

  const redirected = join(folder.path, 'redirected.qcow2');
  await writeFile(redirected, qcow2Header({ backingFile: secret, backingFormat: 'raw', sizeBytes: 2 ** 20 }));
  await flattenDisk(operation(), { from: redirected, ...spec });
  assert.deepEqual(await readFile(join(folder.path, 'out')), await readFile(base));
});

test('a reflink volume shares blocks, and is unmounted with its scope', async (t) => {
  await using folder = await scratch();
  if (!(await run('which', ['mkfs.xfs']).catch(() => undefined))) return t.skip('mkfs.xfs is not installed');
  const mountPoint = join(folder.path, 'volume');
  {
    await using _volume = await makeReflinkVolume(operation(), {
      image: join(folder.path, 'volume.xfs'),
      mountPoint,
      sizeGib: 1,
    });
    assert.equal(await canReflink(mountPoint), true);
    const from = join(mountPoint, 'rootfs.ext4');
    await makeDisk(join(folder.path, 'rootfs.ext4'), 2 ** 26);
    await copyFile(join(folder.path, 'rootfs.ext4'), from);
    const formats = ['raw', 'qcow2'] as const;
    const clone = await cloneDisk(operation(), { from, directory: mountPoint, name: 'clone', formats });
    assert.equal(clone.format, 'raw');
    await run('cmp', [clone.path, from]);
  }
  assert.deepEqual(await readdir(mountPoint), []);
});
