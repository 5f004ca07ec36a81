import assert from 'node:assert/strict';
import { mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { makeGivenFolder } from './given-folder.ts';

test('a given folder goes with its files', async () => {
  await using folder = await temporaryFolder();
  {
    await using given = await makeGivenFolder(join(folder.path, 'x-'), async () => {});
    await writeFile(join(given.path, 'state.json'), '{}');
    assert.deepEqual(await readdir(given.pinned), ['state.json']);
  }
  assert.deepEqual(await readdir(folder.path), []);
});

test('a given folder that became a link, and a link in it, lead nowhere', async () => {
  await using folder = await temporaryFolder();
  const victim = join(folder.path, 'victim');
  await mkdir(victim);
  await writeFile(join(victim, 'state.json'), '{}');
  {
    await using given = await makeGivenFolder(join(folder.path, 'x-'), async () => {});
    await symlink(victim, join(given.path, 'inside'));
    await mkdir(join(given.path, 'deep'));
    await rename(given.path, join(folder.path, 'aside'));
    await symlink(victim, given.path);
    assert.deepEqual((await readdir(given.pinned)).sort(), ['deep', 'inside']);
  }
  assert.deepEqual(await readdir(victim), ['state.json']);
  assert.deepEqual(await readdir(join(folder.path, 'aside')), ['deep']);
});
