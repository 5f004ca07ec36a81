import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '@sandbox-backend/kit';
import type { SlotRef } from '../host.ts';
import { claimSlot } from './claim.ts';
import { openSlotPool } from './pool.ts';
import { slotRef, tapLink } from './slot.ts';
import { end, isRoot, operation, scratch, sweep, testPrefix } from './testing.ts';

const skip = isRoot ? false : 'network slots need root: the pool was NOT tested';
const subnet = '10.214.0.0/27'; // eight slots

const namespacesOf = async (prefix: string) =>
  (await readdir('/run/netns').catch(() => [])).filter((name) => name.startsWith(`${prefix}-`)).sort();
const linksOf = async (prefix: string) =>
  (await readdir('/sys/class/net')).filter((name) => name.startsWith(`${prefix}-`));
const claimsOf = (stateDir: string) => readdir(join(stateDir, 'slots')).catch(() => []);

async function assertNothingLeft(prefix: string, stateDir: string): Promise<void> {
  assert.deepEqual(await namespacesOf(prefix), []);
  assert.deepEqual(await linksOf(prefix), []);
  assert.deepEqual(await claimsOf(stateDir), []);
  const { stdout } = await run('nft', ['list', 'tables']);
  assert.ok(!stdout.includes(`sandbox_backend_${prefix}`), stdout);
}

/** Opens the pool in another process, leases one slot there, and prints its reference. */
async function otherProcess(prefix: string, stateDir: string) {
  const script = `
    const [module, kit, options] = process.argv.slice(1);
    const { openSlotPool } = await import(module);
    const { Operation } = await import(kit);
    const op = new Operation('other', { timeoutMs: 60000 });
    const pool = await openSlotPool(op, JSON.parse(options));
    const slot = await pool.lease(op);
    console.log(JSON.stringify(slot.ref));
    setInterval(() => {}, 1000);`;
  const child = spawn(
    process.execPath,
    [
      ...['--input-type=module', '-e', script, new URL('./pool.ts', import.meta.url).href],
      import.meta.resolve('@sandbox-backend/kit'),
      JSON.stringify({ stateDir, subnet, namePrefix: prefix, spare: 2, refillDelayMs: 60_000 }),
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const [line] = await once(child.stdout!, 'data');
  const ref = JSON.parse(`${line}`) as SlotRef;
  return { ref, child, [Symbol.asyncDispose]: () => end(child) };
}

test('a slot has a tap of its own user, and is gone when it is disposed of', { skip }, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  {
    await using pool = await openSlotPool(operation(), {
      stateDir: folder.path,
      subnet,
      namePrefix: prefix,
      spare: 1,
    });
    assert.equal(pool.free, 1);
    await using slot = await pool.lease(operation());
    await using next = await pool.lease(operation());
    assert.equal(slot.ref.uid, 300_000 + slot.ref.index);
    assert.notEqual(next.ref.uid, slot.ref.uid);
    const { stdout } = await run('ip', ['-n', slot.ref.namespace, '-d', '-j', 'link', 'show', slot.ref.tap]);
    const [{ linkinfo }] = JSON.parse(stdout);
    assert.equal(linkinfo.info_kind, 'tun');
    assert.equal(linkinfo.info_data.type, 'tap');
    assert.equal(linkinfo.info_data.user, slot.ref.uid);
    const neighbour = await run('ip', ['-n', slot.ref.namespace, 'neigh', 'show', 'dev', slot.ref.tap]);
    assert.match(neighbour.stdout, /169\.254\.0\.21 lladdr 02:fc:00:00:00:05 PERMANENT/);
  }
  await assertNothingLeft(prefix, folder.path);
});

test('a leased slot is replaced in the background, and an index comes back as late as possible', {
  skip,
}, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  {
    await using pool = await openSlotPool(operation(), {
      ...{ stateDir: folder.path, subnet, namePrefix: prefix, spare: 1, refillDelayMs: 1 },
    });
    const seen: number[] = [];
    for (let round = 0; round < 8; round++) {
      await using slot = await pool.lease(operation());
      seen.push(slot.ref.index);
      while (pool.free === 0) await sleep(5);
    }
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
  }
  await assertNothingLeft(prefix, folder.path);
});

test('the subnet runs out with a clear error, and what is freed can be leased again', { skip }, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  await using pool = await openSlotPool(operation(), {
    ...{ stateDir: folder.path, subnet: '10.214.0.0/29', namePrefix: prefix, spare: 0 },
  });
  await using first = await pool.lease(operation());
  await using _second = await pool.lease(operation());
  await assert.rejects(pool.lease(operation()), { code: 'resource_exhausted' });
  await first[Symbol.asyncDispose]();
  await using third = await pool.lease(operation());
  assert.equal(third.ref.index, first.ref.index);
});

test('two processes never lease the same slot', { skip }, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  const others = await Promise.all([otherProcess(prefix, folder.path), otherProcess(prefix, folder.path)]);
  {
    await using _one = others[0];
    await using _two = others[1];
    assert.notEqual(others[0].ref.index, others[1].ref.index);
    assert.equal((await namespacesOf(prefix)).length, 4);
    const { stdout } = await run('nft', ['list', 'tables']);
    assert.ok(stdout.includes(`sandbox_backend_${prefix}`));
    // A process that opens the pool while they live frees nothing of theirs.
    await using pool = await openSlotPool(operation(), {
      ...{ stateDir: folder.path, subnet, namePrefix: prefix, spare: 0, keep: [] },
    });
    assert.equal((await namespacesOf(prefix)).length, 4);
    await assert.rejects(pool.adopt(others[0].ref), { code: 'failed_precondition' });
  }
  await openSlotPool(operation(), { stateDir: folder.path, subnet, namePrefix: prefix, spare: 0 }).then(
    (pool) => pool[Symbol.asyncDispose](),
  );
  await assertNothingLeft(prefix, folder.path);
});

test("the host's rules stay until the last pool is closed, and come back when another firewall flushes them", {
  skip,
}, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  const settings = { stateDir: folder.path, subnet, namePrefix: prefix, spare: 0, refillDelayMs: 1 };
  const hasRules = async () =>
    (await run('nft', ['list', 'tables'])).stdout.includes(`sandbox_backend_${prefix}`);
  {
    await using first = await openSlotPool(operation(), settings);
    {
      await using _second = await openSlotPool(operation(), settings);
    }
    assert.equal(await hasRules(), true);
    await run('nft', ['delete', 'table', 'inet', `sandbox_backend_${prefix}`]);
    await using _slot = await first.lease(operation());
    while (!(await hasRules())) await sleep(5);
  }
  await assertNothingLeft(prefix, folder.path);
});

test('what a killed process left is freed at the next opening, except what is kept', { skip }, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  const settings = { stateDir: folder.path, subnet, namePrefix: prefix, spare: 0 };
  const { ref, child } = await otherProcess(prefix, folder.path);
  await end(child);
  assert.equal((await namespacesOf(prefix)).length, 2);
  // Stands for the VMM of a machine that outlives its server.
  const vmm = spawn('ip', ['netns', 'exec', ref.namespace, 'sleep', '1000'], { stdio: 'ignore' });
  await using _vmm = { [Symbol.asyncDispose]: () => end(vmm) };
  while (!(await run('ip', ['netns', 'pids', ref.namespace])).stdout.trim()) await sleep(5);

  {
    await using _stranger = await openSlotPool(operation(), settings);
    assert.deepEqual(
      await namespacesOf(prefix),
      [ref.namespace],
      'a slot in use is left to those who know it',
    );
  }
  {
    await using pool = await openSlotPool(operation(), { ...settings, keep: [ref] });
    assert.deepEqual(await namespacesOf(prefix), [ref.namespace]);
    const slot = await pool.adopt(ref);
    assert.deepEqual(slot.ref, ref);
    await slot.allowInternet(operation(), false);
    assert.equal(vmm.exitCode, null);
    // Not disposed of: this server ends and its machine stays.
  }
  assert.deepEqual(await namespacesOf(prefix), [ref.namespace]);
  assert.deepEqual(await claimsOf(folder.path), [`${ref.index}.json`]);

  // In the file is this process, which lives; let it be a dead one.
  await writeFile(
    join(folder.path, 'slots', `${ref.index}.json`),
    JSON.stringify({ pid: 1, pidStartTime: '0', ref }),
  );
  {
    await using _pool = await openSlotPool(operation(), { ...settings, keep: [] });
    if (vmm.exitCode === null && vmm.signalCode === null) await once(vmm, 'exit');
    assert.equal(vmm.signalCode, 'SIGKILL');
  }
  await assertNothingLeft(prefix, folder.path);
});

test('a slot whose namespace is gone, as after a reboot, is adopted and freed', { skip }, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  const ref = slotRef(
    { subnet, uidBase: 300_000, namePrefix: prefix, nameserver: '1.1.1.1', guestLink: tapLink },
    3,
  );
  await claimSlot(folder.path, ref);
  await writeFile(join(folder.path, 'slots', '3.json'), JSON.stringify({ pid: 1, pidStartTime: '0', ref }));
  await writeFile(join(folder.path, 'slots', '4.json'), '{"pid":');
  {
    await using pool = await openSlotPool(operation(), {
      ...{ stateDir: folder.path, subnet, namePrefix: prefix, spare: 0, keep: [ref] },
    });
    await using _slot = await pool.adopt(ref);
    await assert.rejects(pool.adopt({ ...ref, namespace: 'other-3' }), { code: 'failed_precondition' });
  }
  await assertNothingLeft(prefix, folder.path);
});

test('a slot that has been leased anew is not adopted for the machine that had it before', {
  skip,
}, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  await using pool = await openSlotPool(operation(), {
    ...{ stateDir: folder.path, subnet, namePrefix: prefix, spare: 0 },
  });
  await using slot = await pool.lease(operation());
  await assert.rejects(pool.adopt(slot.ref), { code: 'failed_precondition' });
  await slot[Symbol.asyncDispose]();
  await using _again = await pool.adopt(slot.ref);
});

test('a slot is cleaned by its index unless it is held or something runs in it', { skip }, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  const stateDir = folder.path;
  const op = operation();
  await using pool = await openSlotPool(op, { stateDir, subnet, namePrefix: prefix, spare: 0 });
  const held = await pool.lease(op);
  await assert.rejects(pool.clean(op, held.ref.index), { code: 'failed_precondition' });
  for (const index of [-1, 8, 1.5, Number.NaN]) {
    await assert.rejects(pool.clean(op, index), { code: 'invalid_argument' }, `${index}`);
  }
  assert.equal(await pool.clean(op, 5), false, 'nothing is there');

  await run('ip', ['netns', 'add', `${prefix}-5`]);
  const inside = spawn('ip', ['netns', 'exec', `${prefix}-5`, 'sh', '-c', 'echo in; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(inside.stdout, 'data');
  await assert.rejects(pool.clean(op, 5), /processes run in slot/);
  await end(inside);
  assert.equal(await pool.clean(op, 5), true);
  assert.deepEqual(await namespacesOf(prefix), [held.ref.namespace]);
  await held[Symbol.asyncDispose]();
});

test('a namespace of that name that is not ours is left alone', { skip }, async () => {
  const prefix = testPrefix();
  await using _sweep = sweep(prefix);
  await using folder = await scratch();
  await run('ip', ['netns', 'add', `${prefix}-0`]);
  await using _foreign = {
    [Symbol.asyncDispose]: async () => void (await run('ip', ['netns', 'del', `${prefix}-0`])),
  };
  await using pool = await openSlotPool(operation(), {
    stateDir: folder.path,
    subnet,
    namePrefix: prefix,
    spare: 0,
  });
  await using slot = await pool.lease(operation());
  assert.equal(slot.ref.index, 1);
  assert.ok(await stat(`/run/netns/${prefix}-0`));
});

test('options that would become part of a command are checked', async () => {
  const stateDir = '/nonexistent';
  for (const wrong of [
    { namePrefix: 'a b' },
    { namePrefix: '-x' },
    { nameserver: '1.1.1.1; x' },
    { subnet: 'x' },
  ]) {
    await assert.rejects(openSlotPool(operation(), { stateDir, ...wrong }), { code: 'invalid_argument' });
  }
});
