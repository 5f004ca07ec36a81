import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isAlive } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { cloudHypervisorVmm } from '../cloud-hypervisor/vmm.ts';
import { FAKE_IDENTITY } from '../fake/vmm.ts';
import { firecrackerVmm } from '../firecracker/vmm.ts';
import type { Vmm } from '../vmm.ts';
import { operation } from './bench.ts';
import { fakeProgram } from './fake-program.ts';
import { plainRoom } from './plain-room.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Faults that no real VMM gives on demand, so the program is a fake; the room and the process are real. */
const skip = process.getuid?.() === 0 ? false : 'a room needs root';

type Flavor = 'firecracker' | 'cloud-hypervisor';
const drivers: Record<Flavor, (binary: string) => Vmm> = {
  firecracker: (binary) => firecrackerVmm({ binary }, { ...FAKE_IDENTITY, kind: 'firecracker' }),
  'cloud-hypervisor': (binary) => cloudHypervisorVmm(binary, { ...FAKE_IDENTITY, kind: 'cloud-hypervisor' }),
};

async function bench(flavor: Flavor, fault = '') {
  await using held = new AsyncDisposableStack();
  const folder = held.use(await temporaryFolder());
  const room = held.use(plainRoom(folder.path));
  const vmm = drivers[flavor](await fakeProgram(folder.path, flavor, fault));
  const disk = join(folder.path, 'disk');
  await writeFile(disk, 'disk');
  const hardware = {
    vcpus: 1,
    memoryMib: 16,
    disks: [{ id: 'rootfs', path: disk, format: 'raw' as const, readOnly: false }],
    network: { tap: 'tap', mac: '06:00:ac:10:00:02' },
  };
  const guest = { kernel: '/vmlinux', initrd: '/initrd', commandLine: 'quiet' };
  const boot = (timeoutMs?: number) =>
    vmm.boot(operation(timeoutMs), { hardware, ...guest, memoryFile: join(folder.path, 'memory') }, room);
  const owned = held.move();
  return { folder: folder.path, room, vmm, boot, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const steps: Record<Flavor, { start: string; pause: string }> = {
  firecracker: { start: '/actions', pause: '/vm' },
  'cloud-hypervisor': { start: '/api/v1/vm.boot', pause: '/api/v1/vm.pause' },
};

for (const flavor of ['firecracker', 'cloud-hypervisor'] as const) {
  const { start, pause } = steps[flavor];
  describe(`faults of ${flavor} (fake)`, { skip }, () => {
    test('without a fault a machine boots, pauses, resumes and is found again', async () => {
      await using made = await bench(flavor);
      await using machine = await made.boot();
      assert.equal(await machine.state(operation()), 'running');
      await machine.pause(operation());
      assert.equal(await machine.state(operation()), 'paused');
      await machine.resume(operation());
      const found = await made.vmm.recover(operation(), machine.ref, made.room);
      assert.equal(await found?.state(operation()), 'running');
    });

    for (const fault of ['slow', 'half', 'crash']) {
      test(`a start that is met by "${fault}" is an error, and no process is left`, async () => {
        await using made = await bench(flavor, `${fault} ${start}`);
        await assert.rejects(made.boot(fault === 'slow' ? 3000 : undefined), (error) => {
          assert.ok(error instanceof SandboxError);
          assert.equal(error.code, fault === 'slow' ? 'deadline_exceeded' : 'unavailable');
          if (fault === 'crash') assert.match(error.log ?? '', /crashed in a request/);
          return true;
        });
        for (const process of made.room.launched) assert.equal(await isAlive(process), false);
      });
    }

    test('a VMM that dies in a pause takes its machine with it', async () => {
      await using made = await bench(flavor, `crash ${pause}`);
      await using machine = await made.boot();
      await assert.rejects(machine.pause(operation()), { code: 'unavailable' });
      const exit = await machine.exited;
      assert.equal(exit.reason, 'crashed');
      assert.match(exit.detail, /crashed in a request/);
    });
  });
}

describe('drives of firecracker (fake)', { skip }, () => {
  test('a snapshot that opens other drives than it was given never runs', async () => {
    await using made = await bench('firecracker', 'other-drive /vm/config');
    const stateFile = join(made.folder, 'state');
    const memoryFile = join(made.folder, 'memory');
    await writeFile(stateFile, '{"drives":[{"drive_id":"rootfs","path_on_host":"/run/x/drive-rootfs"}]}');
    await writeFile(memoryFile, 'memory');
    const hardware = {
      vcpus: 1,
      memoryMib: 16,
      disks: [{ id: 'rootfs', path: join(made.folder, 'disk'), format: 'raw' as const, readOnly: false }],
      network: { tap: 'tap', mac: '06:00:ac:10:00:02' },
    };
    await assert.rejects(
      made.vmm.restore(operation(), { hardware, stateFile, memoryFile }, made.room),
      /the snapshot was not restored on its own disks: rootfs is .*someone-elses-rootfs/,
    );
    for (const process of made.room.launched) assert.equal(await isAlive(process), false);
  });
});
