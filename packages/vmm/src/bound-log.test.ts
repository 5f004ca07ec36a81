import assert from 'node:assert/strict';
import { appendFile, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { boundLog } from './bound-log.ts';
import { temporaryFolder } from './testing/temporary-folder.ts';

test('a log past its bound is emptied and goes on; a small one, a missing one and an old one are left alone', async () => {
  await using folder = await temporaryFolder();
  const [large, small, missing] = ['large', 'small', 'missing'].map((name) => join(folder.path, name));
  await writeFile(large!, 'x'.repeat(1001));
  await writeFile(small!, 'x'.repeat(1000));
  using held = new DisposableStack();
  for (const path of [large, small, missing]) held.use(boundLog(path!, { maxBytes: 1000, everyMs: 2 }));

  while ((await stat(large!)).size > 0) await sleep(2);
  await appendFile(large!, 'more');
  await sleep(20);
  assert.equal(await readFile(large!, 'utf8'), 'more');
  assert.equal((await stat(small!)).size, 1000);

  held.dispose();
  await writeFile(small!, 'x'.repeat(1001));
  await sleep(20);
  assert.equal((await stat(small!)).size, 1001);
});
