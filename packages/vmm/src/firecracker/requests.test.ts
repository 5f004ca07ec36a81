import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Hardware } from '../vmm.ts';
import { explainExit, explainFault } from './explain.ts';
import { bootRequests, limitRequests, loadRequest, saveRequest } from './requests.ts';

const hardware: Hardware = {
  vcpus: 2,
  memoryMib: 512,
  disks: [
    { id: 'rootfs', path: '/a', format: 'raw', readOnly: false },
    { id: 'envd', path: '/b', format: 'raw', readOnly: true },
  ],
  network: { tap: 'vmtap0', mac: '06:00:ac:10:00:02' },
};
const paths = { console: '/machine/console.log', drives: ['/machine/drive-rootfs', '/machine/drive-envd'] };
const guest = { kernel: '/kernel/vmlinux', initrd: '/kernel/initrd', commandLine: 'console=ttyS0' };

test('a boot asks for everything in one order, and starts last', () => {
  const requests = bootRequests(hardware, paths, guest);
  assert.deepEqual(
    requests.map(({ method, path }) => `${method} ${path}`),
    [
      'PUT /serial',
      'PUT /machine-config',
      'PUT /boot-source',
      'PUT /drives/rootfs',
      'PUT /drives/envd',
      'PUT /network-interfaces/eth0',
      'PUT /entropy',
      'PUT /balloon',
      'PUT /actions',
    ],
  );
  assert.deepEqual(requests[4]?.body, {
    drive_id: 'envd',
    path_on_host: '/machine/drive-envd',
    is_root_device: false,
    is_read_only: true,
    cache_type: 'Unsafe',
    io_engine: 'Sync',
  });
});

test('an overlay is refused before anything is sent: Firecracker reads raw disks only', () => {
  const disks = [{ id: 'rootfs', path: '/a', format: 'qcow2' as const, readOnly: false }];
  assert.throws(() => bootRequests({ ...hardware, disks }, paths, guest), { code: 'invalid_argument' });
});

test('a snapshot is loaded paused, with the tap of the slot, and nothing that 1.16 does not know', () => {
  assert.deepEqual(loadRequest({ stateFile: '/build/state', memoryFile: '/build/memory' }, 'vmtap0').body, {
    snapshot_path: '/build/state',
    mem_backend: { backend_type: 'File', backend_path: '/build/memory' },
    resume_vm: false,
    network_overrides: [{ iface_id: 'eth0', host_dev_name: 'vmtap0' }],
  });
  assert.deepEqual(saveRequest('Diff', { stateFile: '/s', memoryFile: '/m' }).body, {
    snapshot_type: 'Diff',
    snapshot_path: '/s',
    mem_file_path: '/m',
  });
});

test('every drive is limited, or told that it is not', () => {
  const bandwidth = (limits: Partial<Hardware>) =>
    limitRequests({ ...hardware, ...limits }).map(({ method, path, body }) => [
      `${method} ${path}`,
      (body as { rate_limiter: { bandwidth: object } }).rate_limiter.bandwidth,
    ]);
  assert.deepEqual(bandwidth({ diskBytesPerSecond: 5000 }), [
    ['PATCH /drives/rootfs', { size: 5000, refill_time: 1000 }],
    ['PATCH /drives/envd', { size: 5000, refill_time: 1000 }],
  ]);
  assert.deepEqual(bandwidth({})[0], ['PATCH /drives/rootfs', { size: 0, refill_time: 0 }]);
});

test('an exit status is told in words, and the last one counts', () => {
  const line = (code: number) => `2026 [anonymous:main] Firecracker exiting with error. exit_code=${code}`;
  assert.equal(explainExit('Firecracker exiting successfully. exit_code=0').reason, 'powered_off');
  const crash = explainExit(`exit_code=0\n${line(148)}`);
  assert.equal(crash.reason, 'crashed');
  assert.match(crash.detail, /system call that its filter forbids/);
  assert.match(explainExit(line(77)).detail, /exited with 77/);
  assert.deepEqual(explainExit('killed'), { reason: 'crashed', detail: 'killed' });
});

test('a fault is what Firecracker says of it, whatever it sends', () => {
  assert.equal(explainFault('{"fault_message":"no such drive"}'), 'no such drive');
  assert.equal(explainFault('<html>'), '<html>');
  assert.equal(explainFault('{"other":1}'), '');
});
