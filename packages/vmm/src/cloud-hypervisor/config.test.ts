import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { asFields } from '../control/fields.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import type { Hardware } from '../vmm.ts';
import { restoreConfig, vmConfig } from './config.ts';
import { packSnapshot, readState } from './state-file.ts';

const hardware = (disk: string, tap: string, format: 'raw' | 'qcow2'): Hardware => ({
  vcpus: 2,
  memoryMib: 512,
  disks: [{ id: 'rootfs', path: disk, format, readOnly: false }],
  network: { tap, mac: '06:00:ac:10:00:02' },
});
const paths = (memoryFile: string, disk: string) => ({
  machine: '/machine',
  memoryFile,
  console: '/machine/console.log',
  disks: [disk],
  noKernel: '/machine/no-kernel',
});

test('a machine boots with shared memory, and is restored on a private mapping and files of its own', () => {
  const guest = { kernel: '/kernel/vmlinux', initrd: '/kernel/initrd', commandLine: 'quiet' };
  const booted = vmConfig(
    hardware('/a', 'tap-a', 'raw'),
    paths('/machine/memory', '/machine/rootfs.ext4'),
    guest,
  );
  assert.deepEqual(booted.memory, {
    size: 0,
    zones: [{ id: 'memory', size: 512 * 1024 * 1024, file: '/machine/memory', shared: true }],
  });

  const saved = { ...booted, disks: [{ id: 'rootfs', path: '/machine/rootfs.ext4', num_queues: 1 }] };
  const restored = restoreConfig(
    saved,
    hardware('/b', 'tap-b', 'qcow2'),
    paths('/build/memory', '/machine/rootfs.qcow2'),
  );
  assert.deepEqual(asFields(restored.memory).zones, [
    { id: 'memory', size: 512 * 1024 * 1024, file: '/build/memory', shared: false },
  ]);
  assert.deepEqual(restored.disks, [
    {
      id: 'rootfs',
      path: '/machine/rootfs.qcow2',
      num_queues: 1,
      readonly: false,
      image_type: 'Qcow2',
      backing_files: true,
      rate_limiter_config: null,
    },
  ]);
  const limited = { ...hardware('/b', 'tap-b', 'qcow2'), diskBytesPerSecond: 5000 };
  const [disk] = restoreConfig(saved, limited, paths('/build/memory', '/machine/rootfs.qcow2')).disks as {
    rate_limiter_config: unknown;
  }[];
  assert.deepEqual(disk?.rate_limiter_config, { bandwidth: { size: 5000, refill_time: 1000 } });
  assert.deepEqual(restored.net, [{ id: 'eth0', tap: 'tap-b', mac: '06:00:ac:10:00:02' }]);
  assert.deepEqual(restored.payload, { kernel: '/machine/no-kernel' });
  assert.equal(restored.landlock_enable, true);
  assert.deepEqual(restored.landlock_rules, [
    { path: '/machine', access: 'rw' },
    { path: '/sys/class/net/tap-b', access: 'r' },
    { path: '/build', access: 'r' },
  ]);
});

test('memory of a restored machine becomes a file, and integers beyond those of JavaScript stay what they are', async () => {
  await using folder = await temporaryFolder();
  const snapshot = join(folder.path, 'snapshot');
  await mkdir(snapshot);
  const inner = '{"memory_ranges":{"data":[{"gpa":0,"length":4096}]},"selected_slot":18446744073709551615}';
  await writeFile(join(snapshot, 'config.json'), '{"cpus":{}}');
  await writeFile(
    join(snapshot, 'state.json'),
    JSON.stringify({ snapshots: { 'memory-manager': { snapshot_data: { state: inner } } } }),
  );
  await writeFile(join(snapshot, 'memory-ranges'), 'memory');
  const files = { stateFile: join(folder.path, 'state'), memoryFile: join(folder.path, 'memory') };
  await packSnapshot(snapshot, files);
  assert.equal(await readFile(files.memoryFile, 'utf8'), 'memory');
  const { config, state } = await readState(files.stateFile);
  assert.deepEqual(config, { cpus: {} });
  const manager = asFields(asFields(asFields(state).snapshots)['memory-manager']);
  assert.equal(
    asFields(manager.snapshot_data).state,
    '{"memory_ranges":{"data":[]},"selected_slot":18446744073709551615}',
  );
});
