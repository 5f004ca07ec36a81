import assert from 'node:assert/strict';
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { Operation } from '@sandbox-backend/kit';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { chooseAccelerator, readCache } from './choose-accelerator.ts';

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

test('this host: emulation where KVM is absent or a stub, and without a guest to try nothing is chosen by hope', async (t) => {
  await using folder = await temporaryFolder();
  const options = {
    binary: 'qemu-system-x86_64',
    kernel: join(folder.path, 'no-kernel'),
    initrd: join(folder.path, 'no-initrd'),
    cacheFile: join(folder.path, 'accelerator.json'),
  };
  const choice = await chooseAccelerator(new Operation('choose', { timeoutMs: 60_000 }), options);
  t.diagnostic(`${choice.accelerator}: ${choice.reason}`);
  assert.equal(choice.accelerator, 'tcg');
  assert.notEqual(choice.reason, '');
  assert.equal(await exists(options.cacheFile), false);
  const op = new Operation('choose', { timeoutMs: 60_000 });
  assert.equal((await chooseAccelerator(op, { ...options, force: 'kvm' })).accelerator, 'kvm');
});

test('only what was found under the same key is remembered', async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, 'accelerator.json');
  const write = (value: unknown) => writeFile(file, JSON.stringify(value));

  assert.equal(await readCache(file, 'k'), undefined);
  await write({ key: 'k', accelerator: 'kvm', reason: 'it ran' });
  assert.deepEqual(await readCache(file, 'k'), { accelerator: 'kvm', reason: 'it ran' });
  assert.equal(await readCache(file, 'another kernel'), undefined);
  for (const broken of [null, [], { key: 'k' }, { key: 'k', accelerator: 'xen', reason: '' }]) {
    await write(broken);
    assert.equal(await readCache(file, 'k'), undefined, JSON.stringify(broken));
  }
  await writeFile(file, '{"key": "k", "accel');
  assert.equal(await readCache(file, 'k'), undefined);
});
