import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { type ImageEntry, makeOciLayout, muslImage, scratchImage } from '../image/testing/make-image.ts';
import { buildRootfs, findCachedRootfs, type RootfsSpec } from './build.ts';
import { pruneCache } from './prune.ts';

const op = () => new Operation('test', { timeoutMs: 120_000 });
const skip = process.getuid?.() === 0 ? false : 'making a root file system needs root';

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'rootfs-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const spec = (layout: string, options: Partial<RootfsSpec> = {}): RootfsSpec => ({
  template: 'test',
  reference: `oci:${layout}`,
  noPull: false,
  refresh: false,
  diskMib: 64,
  overlay: false,
  ...options,
});

const debugfs = async (disk: string, command: string) => (await run('debugfs', ['-R', command, disk])).stdout;

async function check(disk: string): Promise<{ freeMib: number; features: string }> {
  await run('e2fsck', ['-fn', disk]);
  const { stdout } = await run('dumpe2fs', ['-h', disk]);
  const value = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(stdout)?.[1] ?? '';
  const freeMib = (Number(value('Free blocks')) * Number(value('Block size'))) / 1024 ** 2;
  return { freeMib, features: value('Filesystem features') };
}

async function assertNothingUnfinished(cacheDir: string): Promise<void> {
  const names = await readdir(cacheDir, { recursive: true });
  assert.deepEqual(
    names.filter((name) => name.includes('.work-') || name.endsWith('.tmp')),
    [],
  );
}

test('an image from scratch becomes a disk with the free space asked for, and is then found again', {
  skip,
}, async () => {
  await using work = await folder();
  const layout = join(work.path, 'image');
  const cacheDir = join(work.path, 'cache');
  await makeOciLayout(layout, await scratchImage());
  const made = await buildRootfs(op(), spec(layout), { cacheDir });
  assert.equal(made.cached, false);
  assert.equal(made.upper, undefined);
  assert.deepEqual(made.imageConfig.entrypoint, ['/bin/app', 'echo', 'hello']);
  assert.equal(made.account.uid, 1000);
  assert.equal((await stat(made.path)).mode & 0o777, 0o444);
  const { freeMib, features } = await check(made.path);
  assert(freeMib >= 64 && freeMib < 80, `${freeMib} MiB are free`);
  assert.match(features, /has_journal/);
  assert.match(await debugfs(made.path, 'stat /bin/app'), /Mode:\s+0755/);
  assert.match(await debugfs(made.path, 'stat /home/user'), /User:\s+1000/);
  assert.match(await debugfs(made.path, 'cat /etc/passwd'), /^user:x:1000:/m);

  const again = await buildRootfs(op(), spec(layout), { cacheDir });
  assert.deepEqual({ ...again, cached: false }, made);
  assert.equal(again.cached, true);
  assert.equal((await buildRootfs(op(), spec(layout, { refresh: true }), { cacheDir })).cached, false);
  assert.notEqual((await buildRootfs(op(), spec(layout, { diskMib: 32 }), { cacheDir })).key, made.key);
  await assertNothingUnfinished(cacheDir);
});

test('files beside the image are on the disk, and another content is another disk', { skip }, async () => {
  await using work = await folder();
  const layout = join(work.path, 'image');
  const cacheDir = join(work.path, 'cache');
  const files = join(work.path, 'files');
  await makeOciLayout(layout, await scratchImage());
  await mkdir(join(files, 'home/user'), { recursive: true });
  await writeFile(join(files, 'home/user/tool'), 'first', { mode: 0o755 });
  const build = () => buildRootfs(op(), spec(layout, { files }), { cacheDir });
  const made = await build();
  assert.equal(await debugfs(made.path, 'cat /home/user/tool'), 'first');
  assert.match(await debugfs(made.path, 'stat /home/user/tool'), /Mode:\s+0755[\s\S]*User:\s+1000/);
  assert.equal((await build()).cached, true);
  await writeFile(join(files, 'home/user/tool'), 'second');
  const changed = await build();
  assert.equal(await debugfs(changed.path, 'cat /home/user/tool'), 'second');
  assert.notEqual(changed.key, (await buildRootfs(op(), spec(layout), { cacheDir })).key);
});

test('with an overlay the disk is packed, and the upper layer has the free space', { skip }, async () => {
  await using work = await folder();
  const layout = join(work.path, 'image');
  const cacheDir = join(work.path, 'cache');
  await makeOciLayout(layout, await muslImage(), { compression: 'zstd' });
  const made = await buildRootfs(op(), spec(layout, { overlay: true }), { cacheDir });
  const lower = await check(made.path);
  assert(lower.freeMib < 4, `${lower.freeMib} MiB are free`);
  assert.doesNotMatch(lower.features, /has_journal/);
  assert.equal((await stat(made.path)).size % (2 * 1024 ** 2), 0);
  const upper = await check(made.upper!);
  assert(upper.freeMib >= 64 && upper.freeMib < 80, `${upper.freeMib} MiB are free`);
  assert((await stat(made.upper!)).blocks * 512 < 8 * 1024 ** 2, 'an empty disk takes almost nothing');
  assert.match(await debugfs(made.path, 'stat /bin/sh'), /Type: symlink/);

  const other = await buildRootfs(op(), spec(layout, { overlay: true, diskMib: 96 }), { cacheDir });
  assert.equal(other.path, made.path);
  assert.notEqual(other.upper, made.upper);
});

test('the last root file system of a template is found without its image', { skip }, async () => {
  await using work = await folder();
  const layout = join(work.path, 'image');
  const cacheDir = join(work.path, 'cache');
  await makeOciLayout(layout, await scratchImage());
  const wanted = { template: 'test', diskMib: 64, overlay: false };
  assert.equal(await findCachedRootfs(op(), wanted, { cacheDir }), undefined);
  const made = await buildRootfs(op(), spec(layout), { cacheDir });
  await rm(layout, { recursive: true });
  assert.deepEqual(await findCachedRootfs(op(), wanted, { cacheDir }), { ...made, cached: true });
  assert.equal(await findCachedRootfs(op(), { ...wanted, overlay: true }, { cacheDir }), undefined);
  assert.equal(await findCachedRootfs(op(), { ...wanted, diskMib: 65 }, { cacheDir }), undefined);
  assert.equal(await findCachedRootfs(op(), { ...wanted, template: 'other' }, { cacheDir }), undefined);
  await rm(made.path);
  assert.equal(await findCachedRootfs(op(), wanted, { cacheDir }), undefined);
  await assert.rejects(findCachedRootfs(op(), { ...wanted, template: '../x' }, { cacheDir }), {
    code: 'invalid_argument',
  });
});

test('devices, capabilities, hard links and setuid reach the disk', { skip }, async () => {
  await using work = await folder();
  const layout = join(work.path, 'image');
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
  await makeOciLayout(layout, {
    layers: [
      [
        { path: 'dev/null', type: 'char-device', mode: 0o666, device: { major: 1, minor: 3 } },
        { path: 'su', content: 'su', mode: 0o4755 },
        { path: 'ping', content: 'ping', xattrs: new Map([['security.capability', capability]]) },
        { path: 'hard', type: 'hardlink', target: 'su' },
      ],
    ],
  });
  const { path } = await buildRootfs(op(), spec(layout), { cacheDir: join(work.path, 'cache') });
  await check(path);
  assert.match(await debugfs(path, 'stat /su'), /Mode:\s+04755[\s\S]*Links: 2/);
  assert.match(await debugfs(path, 'stat /dev/null'), /character special/);
  assert.match(await debugfs(path, 'ea_get -x /ping security.capability'), /= 01 00 00 02 00 20 00/);
});

/** Folders that make a path of exactly that many bytes. */
const pathOf = (bytes: number) =>
  `${'d'.repeat(199)}/`.repeat(Math.floor(bytes / 200)) + 'e'.repeat(bytes % 200);

test('a path that would overflow a buffer of mke2fs is refused, however it came about', {
  skip,
}, async () => {
  await using work = await folder();
  const half = pathOf(1000).slice(0, -1);
  const cases: [what: string, code: string | undefined, layers: ImageEntry[][]][] = [
    ['longest', undefined, [[{ path: pathOf(1999), content: 'x' }]]],
    ['overflow', 'invalid_argument', [[{ path: pathOf(2039), content: 'x' }]]],
    [
      'linked',
      'invalid_argument',
      [
        [
          { path: half, type: 'directory' },
          { path: 's', type: 'symlink', target: half },
          { path: `s/${pathOf(1039)}`, content: 'x' },
        ],
      ],
    ],
  ];
  for (const [what, code, layers] of cases) {
    const layout = join(work.path, what);
    await makeOciLayout(layout, { layers });
    const made = buildRootfs(op(), spec(layout), { cacheDir: join(work.path, 'cache') });
    if (code) await assert.rejects(made, { code, message: /longer than 2000 bytes/ }, what);
    else await check((await made).path);
  }
  await assertNothingUnfinished(join(work.path, 'cache'));
});

async function smallDisk(mib: number) {
  const path = await mkdtemp(join(tmpdir(), 'small-'));
  await run('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', path]);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await run('umount', ['-l', path]);
      await rm(path, { recursive: true });
    },
  };
}

// The image's layers take 10 MiB in the cache, the unpacked tree 10 more, and the disk 10 more.
for (const [where, mib] of [
  ['copied', 6],
  ['unpacked', 16],
  ['made a disk', 26],
] as const) {
  test(`a disk that is full while the image is ${where}: no_space, and nothing left`, { skip }, async (t) => {
    await using work = await folder();
    const layout = join(work.path, 'image');
    const noise = Buffer.alloc(10 * 1024 ** 2);
    for (let at = 0, state = 1; at < noise.length; at++)
      noise[at] = state = (state * 1103515245 + 12345) >>> 7;
    await makeOciLayout(layout, { layers: [[{ path: 'noise', content: noise }]] }, { compression: 'none' });
    const disk = await smallDisk(mib).catch((caught) => t.skip(`no tmpfs can be mounted here: ${caught}`));
    if (!disk) return;
    await using small = disk;
    const cacheDir = join(small.path, 'cache');
    await assert.rejects(buildRootfs(op(), spec(layout), { cacheDir }), (error) => {
      assert(error instanceof SandboxError);
      assert.equal(error.code, 'no_space', error.describe());
      assert(error.hint);
      return true;
    });
    await assertNothingUnfinished(cacheDir);
    const names = await readdir(cacheDir, { recursive: true });
    assert.deepEqual(
      names.filter((name) => name.endsWith('.ext4')),
      [],
    );
  });
}

test('a canceled build leaves nothing', { skip }, async () => {
  await using work = await folder();
  const layout = join(work.path, 'image');
  const cacheDir = join(work.path, 'cache');
  await makeOciLayout(layout, { layers: [[{ path: 'big', content: Buffer.alloc(30 * 1024 ** 2, 'x') }]] });
  const abort = new AbortController();
  const canceled = new Operation('test', {
    timeoutMs: 60_000,
    signal: abort.signal,
    onPhase: ({ name }) => name === 'read image' && setTimeout(() => abort.abort(), 5),
  });
  await assert.rejects(buildRootfs(canceled, spec(layout), { cacheDir }), { code: 'canceled' });
  await assertNothingUnfinished(cacheDir);
  assert.deepEqual(
    (await readdir(join(cacheDir, 'rootfs'))).filter((name) => name.endsWith('.ext4')),
    [],
  );
});

test('pruning removes the least used, and first what nothing names', async () => {
  await using work = await folder();
  const hours = (count: number) => new Date(Date.now() - count * 3_600_000);
  const rootfs = join(work.path, 'rootfs');
  const image = join(work.path, 'images', 'a'.repeat(64));
  const [current, old] = ['b'.repeat(64), 'c'.repeat(64)];
  await mkdir(join(image, current), { recursive: true });
  await mkdir(join(image, old));
  await mkdir(join(rootfs, '.work-dead'), { recursive: true });
  await writeFile(join(image, 'current.json'), JSON.stringify({ layout: current }));
  const put = async (path: string, age: number) => {
    await writeFile(path, Buffer.alloc(1024 ** 2, 'x'));
    await utimes(path, hours(age), hours(age));
  };
  for (const [name, age] of [
    ['old', 50],
    ['newer', 30],
    ['now', 0],
  ] as const) {
    await put(join(rootfs, `${name}.ext4`), age);
    await writeFile(join(rootfs, `${name}.json`), '{}');
  }
  await put(join(image, old, 'blob'), 2);
  await put(join(image, current, 'blob'), 40);
  for (const [path, age] of [
    [join(image, old), 2],
    [join(image, current), 40],
    [join(rootfs, '.work-dead'), 48],
  ] as const) {
    await utimes(path, hours(age), hours(age));
  }
  const { removed } = await pruneCache(work.path, 3.5 * 1024 ** 2);
  assert.equal(removed, 3, 'the dead work folder, the layout that nothing names, the oldest disk');
  assert.deepEqual((await readdir(rootfs)).sort(), ['newer.ext4', 'newer.json', 'now.ext4', 'now.json']);
  assert.deepEqual((await readdir(image)).sort(), [current, 'current.json']);
  await pruneCache(work.path, 0);
  assert.deepEqual((await readdir(rootfs)).sort(), ['now.ext4', 'now.json']);
});
