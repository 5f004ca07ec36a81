import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { packCpio } from './cpio.ts';
import { run } from './run.ts';

/** Unpacked by a program that shares no code with ours. */
async function unpack(t: TestContext, archive: Buffer): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cpio-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await run('busybox', ['cpio', '-i', '-d'], { cwd: folder, input: archive });
  return folder;
}

test('folders, files of any length and links come out as they went in', async (t) => {
  const lengths = [0, 1, 2, 3, 4, 5, 511, 4097];
  const folder = await unpack(
    t,
    packCpio([
      { path: 'bin', type: 'directory' },
      { path: 'bin/tool', type: 'file', mode: 0o755, data: Buffer.from('#!/bin/sh\n') },
      { path: 'bin/sh', type: 'symlink', target: 'tool' },
      ...lengths.map((length) => ({
        path: `file-${length}`,
        type: 'file' as const,
        mode: 0o640,
        data: Buffer.alloc(length, 'x'),
      })),
    ]),
  );
  assert.equal(await readFile(join(folder, 'bin', 'tool'), 'utf8'), '#!/bin/sh\n');
  assert.equal((await stat(join(folder, 'bin', 'tool'))).mode & 0o777, 0o755);
  assert.equal(await readlink(join(folder, 'bin', 'sh')), 'tool');
  for (const length of lengths) {
    assert.equal(await readFile(join(folder, `file-${length}`), 'utf8'), 'x'.repeat(length));
    assert.equal((await stat(join(folder, `file-${length}`))).mode & 0o777, 0o640);
  }
});

test('an empty archive unpacks to nothing', async (t) => {
  assert.deepEqual(await readdir(await unpack(t, packCpio([]))), []);
});

test('the length is a multiple of four: the kernel unpacks a second archive that follows', () => {
  for (const data of ['', 'a', 'ab', 'abc']) {
    const archive = packCpio([{ path: 'init', type: 'file', mode: 0o755, data: Buffer.from(data) }]);
    assert.equal(archive.length % 4, 0);
  }
});
