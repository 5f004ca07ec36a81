import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { Operation } from '@sandbox-backend/kit';
import type { VmmIdentity } from '@sandbox-backend/protocol';
import { testKernel, whyNoGuest, writeTestInitrd } from '../testing/real-harness.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { qemuIdentity } from './identity.ts';
import { probeGuest } from './probe-guest.ts';

const BINARY = process.env.SANDBOX_QEMU || 'qemu-system-x86_64';
const IDENTITY: VmmIdentity = {
  kind: 'qemu',
  version: '10.0.2',
  accelerator: 'tcg',
  machine: 'pc-q35-10.0',
  cpuModel: 'Nehalem',
};

const operation = (signal?: AbortSignal) =>
  new Operation('probe', { timeoutMs: 60_000, ...(signal ? { signal } : {}) });

/** A program in place of QEMU: a script that tells what it was given. */
async function script(folder: string, body: string): Promise<string> {
  const path = join(folder, 'qemu');
  await writeFile(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return path;
}

test('a guest that boots says so', async (t) => {
  const reason = await whyNoGuest(BINARY);
  if (reason) {
    console.log(`NOT RUN: a probe with a guest: ${reason}`);
    return t.skip(reason);
  }
  await using folder = await temporaryFolder();
  const initrd = join(folder.path, 'initrd');
  await writeTestInitrd(initrd);
  const identity = await qemuIdentity(BINARY, 'tcg');
  const options = { binary: BINARY, identity, kernel: testKernel(), initrd };
  assert.deepEqual(await probeGuest(operation(), options), { ok: true, detail: 'guest-probe-ok' });
});

test('a VMM that dies is an answer, with its last line', async () => {
  await using folder = await temporaryFolder();
  const binary = await script(folder.path, 'echo "Could not access KVM kernel module" >&2; exit 1');
  const { ok, detail } = await probeGuest(operation(), {
    binary,
    identity: IDENTITY,
    kernel: '/kernel',
    initrd: '/initrd',
  });
  assert.equal(ok, false);
  assert.match(detail, /exited.*; Could not access KVM kernel module$/);
});

test('a missing VMM is an answer', async () => {
  const { ok, detail } = await probeGuest(operation(), {
    binary: '/nonexistent/qemu',
    identity: IDENTITY,
    kernel: '/kernel',
    initrd: '/initrd',
  });
  assert.deepEqual({ ok, detail }, { ok: false, detail: '/nonexistent/qemu is not installed' });
});

test('the end of the operation is no answer: it is thrown, and no process is left', async () => {
  await using folder = await temporaryFolder();
  const pidFile = join(folder.path, 'pid');
  const binary = await script(folder.path, `echo $$ >'${pidFile}'; exec sleep infinity`);
  const controller = new AbortController();
  const probing = probeGuest(operation(controller.signal), {
    binary,
    identity: IDENTITY,
    kernel: '/kernel',
    initrd: '/initrd',
  });
  const rejected = assert.rejects(probing, { name: 'AbortError' });
  const written = () => readFile(pidFile, 'utf8').catch(() => '');
  while ((await written()) === '') await new Promise((resolve) => setTimeout(resolve, 5));
  controller.abort();
  await rejected;
  const pid = Number(await readFile(pidFile, 'utf8'));
  assert.ok(pid > 0);
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});
