import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { findProgram } from './find-program.ts';

test('a program is found in PATH or by its path, and must be executable', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'program-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'tool'), '#!/bin/sh\n', { mode: 0o755 });

  assert.equal(await findProgram('tool', `/nowhere:${folder}`), join(folder, 'tool'));
  assert.equal(await findProgram(join(folder, 'tool'), ''), join(folder, 'tool'));
  for (const [name, path] of [
    ['tool', '/nowhere'],
    ['tool', ''],
    [join(folder, 'missing'), folder],
    ['./tool', folder],
  ] as const) {
    await assert.rejects(findProgram(name, path), (error: { code: string; hint: string }) => {
      assert.equal(error.code, 'failed_precondition');
      assert.match(error.hint, /install/);
      return true;
    });
  }
});
