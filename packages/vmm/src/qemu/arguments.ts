import type { VmmIdentity } from '@sandbox-backend/protocol';
import type { Hardware } from '../vmm.ts';

export type QemuPaths = {
  /** All as the VMM process sees them. */
  memoryFile: string;
  controlSocket: string;
  disks: readonly string[];
  /** Present at boot only: a restored machine has its kernel in memory. */
  kernel?: { image: string; initrd: string; commandLine: string };
};

/**
 * The command line of one machine. Boot and restore must describe the same hardware: they differ in
 * how memory is mapped (shared file, or private and read-only) and in `-incoming defer`.
 */
export function qemuArguments(
  binary: string,
  identity: VmmIdentity,
  hardware: Hardware,
  paths: QemuPaths,
  mode: 'boot' | 'restore',
): string[] {
  const microvm = identity.machine.startsWith('microvm');
  const device = (name: string) => `virtio-${name}-${microvm ? 'device' : 'pci'}`;
  return [
    binary,
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-no-reboot',
    '-machine',
    microvm ? microvmMachine() : q35Machine(identity),
    ...(identity.accelerator === 'tcg' ? ['-accel', 'tcg,thread=multi,tb-size=128'] : ['-accel', 'kvm']),
    '-cpu',
    identity.cpuModel,
    '-smp',
    `${hardware.vcpus}`,
    '-m',
    `${hardware.memoryMib}M`,
    '-object',
    memoryBackend(hardware.memoryMib, paths.memoryFile, mode),
    ...(paths.kernel
      ? ['-kernel', paths.kernel.image, '-initrd', paths.kernel.initrd, '-append', paths.kernel.commandLine]
      : []),
    ...hardware.disks.flatMap((disk, index) => [
      '-blockdev',
      blockdev(disk, index, paths.disks[index]!),
      '-device',
      `${device('blk')},drive=disk${index},id=blk${index}`,
    ]),
    '-netdev',
    `tap,id=net0,ifname=${hardware.network.tap},script=no,downscript=no`,
    '-device',
    `${device('net')},netdev=net0,id=nic0,mac=${hardware.network.mac}${microvm ? '' : ',romfile='}`,
    // A new generation id for each process: the guest's kernel reseeds its random numbers on restore.
    ...(microvm ? [] : ['-device', 'vmgenid,guid=auto,id=vmgenid0']),
    '-rtc',
    'base=utc,clock=host',
    // The console is bounded in memory; a guest cannot fill the host's disk with it.
    '-chardev',
    'ringbuf,id=console,size=65536',
    '-serial',
    'chardev:console',
    '-qmp',
    `unix:${paths.controlSocket},server=on,wait=off`,
    '-sandbox',
    'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    ...(mode === 'restore' ? ['-incoming', 'defer'] : []),
  ];
}

/** Pinned version: a snapshot survives an upgrade of QEMU. The timers stay on: without KVM the kernel calibrates by them. */
const q35Machine = (identity: VmmIdentity) =>
  `${identity.machine},memory-backend=ram0,smm=off,vmport=off,sata=off,smbus=off,usb=off,graphics=off,mem-merge=off,dump-guest-core=off`;

/** For KVM only: without it this machine has no timer to calibrate by, and hangs early in boot now and then. */
const microvmMachine = () =>
  'microvm,memory-backend=ram0,x-option-roms=off,pit=off,pic=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off,mem-merge=off,dump-guest-core=off';

/** `readonly=on,rom=off` opens the file O_RDONLY and maps it privately: no machine can write its template's memory. */
const memoryBackend = (memoryMib: number, file: string, mode: 'boot' | 'restore') =>
  `memory-backend-file,id=ram0,size=${memoryMib}M,mem-path=${file},${
    mode === 'boot' ? 'share=on' : 'share=off,readonly=on,rom=off'
  }`;

/** JSON, so that no path can add an option. */
function blockdev(disk: Hardware['disks'][number], index: number, path: string): string {
  return JSON.stringify({
    driver: disk.format,
    'node-name': `disk${index}`,
    'read-only': disk.readOnly,
    discard: 'unmap',
    file: {
      driver: 'file',
      filename: path,
      aio: 'threads',
      'read-only': disk.readOnly,
      ...(disk.readOnly ? { locking: 'off' } : {}),
    },
  });
}
