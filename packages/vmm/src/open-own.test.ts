import assert from 'node:assert/strict';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '@sandbox-backend/kit';
import { boundLog } from './bound-log.ts';
import { ConsoleFile } from './control/console-file.ts';
import { logTail } from './log-tail.ts';
import { openOwn } from './open-own.ts';
import { temporaryFolder } from './testing/temporary-folder.ts';

test('a link or a pipe in place of a file is not opened', async () => {
  await using folder = await temporaryFolder();
  const [file, link, pipe] = ['file', 'link', 'pipe'].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(file, 'text');
  await symlink(file, link);
  await run('mkfifo', [pipe]);
  await (await openOwn(file)).close();
  for (const mode of ['read', 'write'] as const) {
    await assert.rejects(openOwn(link, mode), { code: 'ELOOP' });
    await assert.rejects(openOwn(pipe, mode), { code: 'internal' });
  }
});

test('a log and a console that became links are neither read nor emptied', async () => {
  await using folder = await temporaryFolder();
  const secret = join(folder.path, 'secret');
  const link = join(folder.path, 'console.log');
  const text = 's'.repeat(512 * 1024);
  await writeFile(secret, text);
  await symlink(secret, link);
  using _bound = boundLog(link, { maxBytes: 1000, everyMs: 2 });
  using console = new ConsoleFile(link);
  await assert.rejects(console.read(), { code: 'ELOOP' });
  assert.equal(await logTail(link), '');
  await sleep(1200);
  assert.equal(await readFile(secret, 'utf8'), text);
});
