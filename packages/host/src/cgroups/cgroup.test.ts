import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { Operation, randomId } from '@sandbox-backend/kit';
import { type Cgroup, openCgroup } from './cgroup.ts';
import { recreateParentCgroup } from './recreate.ts';

const operation = () => new Operation('test', { timeoutMs: 60_000 });
const spec = () => ({ name: randomId('test'), limits: { memoryMib: 256, vcpus: 1, pids: 50 } });

/** A process of the group that has read a file of 64 MiB, whose pages the group is charged for. */
async function reader(group: Cgroup, file: string) {
  const enter = group.procsFiles.map((procs) => `echo $$ > '${procs}'`).join(' && ');
  const child = spawn('sh', ['-c', `${enter} && cat '${file}' > /dev/null && echo read && exec sleep 600`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

async function limits(context: test.TestContext): Promise<Cgroup | undefined> {
  if (process.getuid?.() !== 0) {
    context.skip('control groups need root: NOT tested');
    return undefined;
  }
  const group = await openCgroup(operation(), spec());
  if (!group.missing.includes('memory')) return group;
  await group[Symbol.asyncDispose]();
  context.skip('this host cannot limit memory: reclaim was NOT tested');
  return undefined;
}

test('reclaim takes what the processes can get again, and ends none of them', async (context) => {
  const found = await limits(context);
  if (!found) return;
  await using group = found;
  const folder = await mkdtemp('/var/tmp/reclaim-');
  try {
    const file = join(folder, 'file');
    await writeFile(file, Buffer.alloc(64 * 2 ** 20, 1), { flush: true });
    spawn('sync', ['-f', file]);
    // Out of the page cache, so that the reader is the one who brings it in.
    await new Promise((resolve) =>
      spawn('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], {
        stdio: 'ignore',
      }).once('close', resolve),
    );
    const child = await reader(group, file);
    const before = (await group.stats()).memoryBytes;
    assert.ok(before > 48 * 2 ** 20, `the group is charged ${before} bytes for the file`);
    await group.reclaim();
    const after = (await group.stats()).memoryBytes;
    assert.ok(after < 16 * 2 ** 20, `${after} bytes are left`);
    assert.equal(child.exitCode, null);
    await group.reclaim(); // nothing is left to take
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the group of all is made anew, and those with processes stay with their limits', async (context) => {
  const found = await limits(context);
  if (!found) return;
  await using busy = found;
  const unused = spec();
  const idle = await openCgroup(operation(), unused);
  const child = await reader(busy, '/bin/sh');
  await recreateParentCgroup(async (name) => name !== unused.name);
  for (const procs of busy.procsFiles) {
    assert.ok(readFileSync(procs, 'utf8').split('\n').includes(`${child.pid}`));
  }
  for (const procs of idle.procsFiles) assert.ok(!existsSync(dirname(procs)));
  await idle[Symbol.asyncDispose](); // what is gone is no failure
  await using again = await openCgroup(operation(), spec());
  assert.ok(!again.missing.includes('memory'));
});
