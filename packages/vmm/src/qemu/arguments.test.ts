import assert from 'node:assert/strict';
import test from 'node:test';
import type { VmmIdentity } from '@sandbox-backend/protocol';
import type { Hardware } from '../vmm.ts';
import { type QemuPaths, qemuArguments } from './arguments.ts';

const TCG: VmmIdentity = {
  kind: 'qemu',
  version: '10.0.2',
  accelerator: 'tcg',
  machine: 'pc-q35-10.0,hpet=off',
  cpuModel: 'Nehalem',
};
const KVM: VmmIdentity = { ...TCG, accelerator: 'kvm', machine: 'microvm@10.0', cpuModel: 'host' };

const hardware: Hardware = {
  vcpus: 2,
  memoryMib: 512,
  disks: [
    { id: 'rootfs', path: '/build/rootfs.ext4', format: 'raw', readOnly: true },
    { id: 'upper', path: '/machine/upper.qcow2', format: 'qcow2', readOnly: false },
  ],
  network: { tap: 'vmtap0', mac: '06:00:ac:10:00:02' },
};
const kernel = { image: '/kernel/vmlinux', initrd: '/kernel/initrd', commandLine: 'console=ttyS0 quiet' };
const paths: QemuPaths = {
  memoryFile: '/build/memory',
  controlSocket: '/machine/qmp.sock',
  disks: ['/build/rootfs.ext4', '/machine/upper.qcow2'],
};

const boot = (identity: VmmIdentity, changes: Partial<QemuPaths> = {}) =>
  qemuArguments('qemu', identity, hardware, { ...paths, kernel, ...changes }, 'boot');
const restore = (identity: VmmIdentity, changes: Partial<QemuPaths> = {}) =>
  qemuArguments('qemu', identity, hardware, { ...paths, ...changes }, 'restore');

/** The values of an option, in order. */
const values = (args: string[], option: string) => args.filter((_, index) => args[index - 1] === option);
const json = (text: string | undefined): Record<string, unknown> => JSON.parse(text ?? '');

/** One option a line, for reading. */
const lines = (args: string[]) => args.join(' ').replaceAll(/ (?=-[a-z])/g, '\n');

test('golden: boot without KVM', () => {
  assert.equal(
    lines(boot(TCG)),
    `qemu
-nodefaults
-no-user-config
-display none
-no-reboot
-machine pc-q35-10.0,hpet=off,memory-backend=ram0,smm=off,vmport=off,sata=off,smbus=off,usb=off,graphics=off,mem-merge=off,dump-guest-core=off
-accel tcg,thread=multi,tb-size=128
-cpu Nehalem
-smp 2
-m 512M
-object {"qom-type":"memory-backend-file","id":"ram0","size":536870912,"mem-path":"/build/memory","share":true}
-kernel /kernel/vmlinux
-initrd /kernel/initrd
-append console=ttyS0 quiet
-blockdev {"driver":"raw","node-name":"disk0","read-only":true,"discard":"unmap","file":{"driver":"file","filename":"/build/rootfs.ext4","aio":"threads","read-only":true,"locking":"off"}}
-device virtio-blk-pci,drive=disk0,id=blk0
-blockdev {"driver":"qcow2","node-name":"disk1","read-only":false,"discard":"unmap","file":{"driver":"file","filename":"/machine/upper.qcow2","aio":"threads","read-only":false}}
-device virtio-blk-pci,drive=disk1,id=blk1
-netdev tap,id=net0,ifname=vmtap0,script=no,downscript=no
-device virtio-net-pci,netdev=net0,id=nic0,mac=06:00:ac:10:00:02,romfile=
-device vmgenid,guid=auto,id=vmgenid0
-rtc base=utc,clock=host
-chardev ringbuf,id=console,size=65536
-serial chardev:console
-chardev socket,id=control,path=/machine/qmp.sock,server=on,wait=off
-mon chardev=control,mode=control
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny`,
  );
});

test('golden: restore with KVM', () => {
  assert.equal(
    lines(restore(KVM)),
    `qemu
-nodefaults
-no-user-config
-display none
-no-reboot
-machine microvm,memory-backend=ram0,pit=off,pic=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off,mem-merge=off,dump-guest-core=off
-accel kvm
-cpu host
-smp 2
-m 512M
-object {"qom-type":"memory-backend-file","id":"ram0","size":536870912,"mem-path":"/build/memory","share":false,"readonly":true,"rom":"off"}
-blockdev {"driver":"raw","node-name":"disk0","read-only":true,"discard":"unmap","file":{"driver":"file","filename":"/build/rootfs.ext4","aio":"threads","read-only":true,"locking":"off"}}
-device virtio-blk-device,drive=disk0,id=blk0
-blockdev {"driver":"qcow2","node-name":"disk1","read-only":false,"discard":"unmap","file":{"driver":"file","filename":"/machine/upper.qcow2","aio":"threads","read-only":false}}
-device virtio-blk-device,drive=disk1,id=blk1
-netdev tap,id=net0,ifname=vmtap0,script=no,downscript=no
-device virtio-net-device,netdev=net0,id=nic0,mac=06:00:ac:10:00:02
-rtc base=utc,clock=host
-chardev ringbuf,id=console,size=65536
-serial chardev:console
-chardev socket,id=control,path=/machine/qmp.sock,server=on,wait=off
-mon chardev=control,mode=control
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-incoming defer`,
  );
});

for (const identity of [TCG, KVM]) {
  test(`boot and restore differ in memory, kernel and -incoming alone (${identity.machine})`, () => {
    const own = /^-(object|kernel|initrd|append|incoming) /;
    const common = (args: string[]) =>
      lines(args)
        .split('\n')
        .filter((line) => !own.test(line));
    assert.deepEqual(common(restore(identity)), common(boot(identity)));
    assert.deepEqual(values(restore(identity), '-kernel'), []);
    assert.equal(json(values(restore(identity), '-object')[0]).readonly, true);
  });
}

test('a limit is one bucket for all disks', () => {
  const limited = qemuArguments('qemu', TCG, { ...hardware, diskBytesPerSecond: 5000 }, paths, 'restore');
  assert.deepEqual(json(values(limited, '-object')[1]), {
    'qom-type': 'throttle-group',
    id: 'limit',
    limits: { 'bps-total': 5000 },
  });
  for (const [index, disk] of values(limited, '-blockdev').entries()) {
    const { driver, file, ...rest } = json(disk);
    assert.equal(driver, 'throttle');
    assert.equal(rest['node-name'], `disk${index}`);
    assert.equal(rest['throttle-group'], 'limit');
    assert.equal((file as { file: { filename: string } }).file.filename, paths.disks[index]);
  }
});

test('no path can add an option', () => {
  const hostile = `/a,share=on,x="y" -monitor stdio\\\n'z',,offset=9`;
  for (const args of [
    boot(TCG, {
      memoryFile: hostile,
      controlSocket: hostile,
      disks: [hostile, hostile],
      kernel: { image: hostile, initrd: hostile, commandLine: hostile },
    }),
    restore(KVM, { memoryFile: hostile, controlSocket: hostile, disks: [hostile, hostile] }),
  ]) {
    assert.equal(json(values(args, '-object')[0])['mem-path'], hostile);
    for (const disk of values(args, '-blockdev')) {
      assert.equal((json(disk).file as Record<string, unknown>).filename, hostile);
    }
    // QEMU reads two commas as one and ends a value at a single one.
    const [, control] = values(args, '-chardev');
    const fields = control?.replaceAll(',,', '\0').split(',');
    assert.deepEqual(
      fields?.map((field) => field.replaceAll('\0', ',')),
      ['socket', 'id=control', `path=${hostile}`, 'server=on', 'wait=off'],
    );
    for (const option of ['-kernel', '-initrd', '-append']) {
      for (const value of values(args, option)) assert.equal(value, hostile);
    }
  }
});

test('names that go into an option unquoted are checked', () => {
  const withNetwork = (network: Hardware['network']) => () =>
    qemuArguments('qemu', TCG, { ...hardware, network }, paths, 'restore');
  const mac = hardware.network.mac;
  for (const tap of ['', 'tap,script=/bin/sh', 'a'.repeat(16), 'tap 0', '../tap']) {
    assert.throws(withNetwork({ tap, mac }), { code: 'invalid_argument' }, tap);
  }
  for (const bad of ['', '06:00:ac:10:00', `${mac},romfile=/x`, `${mac}\n`, '06-00-ac-10-00-02']) {
    assert.throws(withNetwork({ tap: 'vmtap0', mac: bad }), { code: 'invalid_argument' }, bad);
  }
  for (const memoryMib of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => qemuArguments('qemu', TCG, { ...hardware, memoryMib }, paths, 'restore'), {
      code: 'invalid_argument',
    });
  }
});
