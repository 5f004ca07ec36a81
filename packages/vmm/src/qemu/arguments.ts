import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import type { Hardware } from '../vmm.ts';
import { CONSOLE_BYTES } from './console.ts';

export type QemuPaths = {
  /** All as the VMM process sees them. */
  memoryFile: string;
  controlSocket: string;
  disks: readonly string[];
  /** Present at boot only: a restored machine has its kernel in memory. */
  kernel?: { image: string; initrd: string; commandLine: string };
};

/** `restore-own`: the memory file is the machine's own, mapped as at boot. */
type Mode = 'boot' | 'restore' | 'restore-own';

/** A probe of the host has no network. */
export type QemuHardware = Omit<Hardware, 'network'> & Partial<Pick<Hardware, 'network'>>;

/**
 * The command line of one machine. Boot and restore must describe the same hardware: they differ in
 * how memory is mapped (shared file, or private and read-only) and in `-incoming defer`.
 *
 * A path may hold any character: each option with a path is JSON, or has its commas doubled.
 */
export function qemuArguments(
  binary: string,
  identity: VmmIdentity,
  hardware: QemuHardware,
  paths: QemuPaths,
  mode: Mode,
): string[] {
  const microvm = identity.machine.startsWith('microvm');
  const virtio = (name: string) => `virtio-${name}-${microvm ? 'device' : 'pci'}`;
  return [
    binary,
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-no-reboot',
    '-machine',
    microvm ? microvmMachine() : q35Machine(identity),
    '-accel',
    identity.accelerator === 'tcg' ? 'tcg,thread=multi,tb-size=128' : 'kvm',
    '-cpu',
    identity.accelerator === 'tcg' ? identity.cpuModel : 'host',
    '-smp',
    `${positive('vcpus', hardware.vcpus)}`,
    '-m',
    `${positive('memoryMib', hardware.memoryMib)}M`,
    '-object',
    memoryBackend(hardware.memoryMib, paths.memoryFile, mode),
    ...(paths.kernel
      ? ['-kernel', paths.kernel.image, '-initrd', paths.kernel.initrd, '-append', paths.kernel.commandLine]
      : []),
    ...throttleGroup(hardware),
    ...hardware.disks.flatMap((disk, index) => [
      '-blockdev',
      blockdev(disk, index, paths.disks[index]!, hardware),
      '-device',
      `${virtio('blk')},drive=disk${index},id=blk${index}`,
    ]),
    ...(hardware.network ? network(hardware.network, virtio('net'), microvm ? '' : ',romfile=') : []),
    // A new generation id for each process: the guest's kernel reseeds its random numbers on restore.
    ...(microvm ? [] : ['-device', 'vmgenid,guid=auto,id=vmgenid0']),
    '-rtc',
    'base=utc,clock=host',
    // The console is bounded in memory; a guest cannot fill the host's disk with it.
    '-chardev',
    `ringbuf,id=console,size=${CONSOLE_BYTES}`,
    '-serial',
    'chardev:console',
    '-chardev',
    `socket,id=control,path=${paths.controlSocket.replaceAll(',', ',,')},server=on,wait=off`,
    '-mon',
    'chardev=control,mode=control',
    '-sandbox',
    'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    ...(mode === 'boot' ? [] : ['-incoming', 'defer']),
  ];
}

/** The PIT stays on: without KVM the kernel calibrates by it. */
const q35Machine = (identity: VmmIdentity) =>
  `${identity.machine},memory-backend=ram0,smm=off,vmport=off,sata=off,smbus=off,usb=off,graphics=off,mem-merge=off,dump-guest-core=off`;

/** For KVM only: without it this machine has no timer to calibrate by, and hangs early in boot now and then. */
const microvmMachine = () =>
  'microvm,memory-backend=ram0,pit=off,pic=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off,mem-merge=off,dump-guest-core=off';

/** `readonly=on,rom=off` opens the file O_RDONLY and maps it privately: no machine can write its template's memory. */
const memoryBackend = (memoryMib: number, path: string, mode: Mode) =>
  JSON.stringify({
    'qom-type': 'memory-backend-file',
    id: 'ram0',
    size: memoryMib * 1024 * 1024,
    'mem-path': path,
    ...(mode !== 'restore' ? { share: true } : { share: false, readonly: true, rom: 'off' }),
  });

/** One for all disks of the machine. */
const throttleGroup = ({ diskBytesPerSecond }: QemuHardware) =>
  diskBytesPerSecond === undefined
    ? []
    : [
        '-object',
        JSON.stringify({
          'qom-type': 'throttle-group',
          id: 'limit',
          limits: { 'bps-total': positive('diskBytesPerSecond', diskBytesPerSecond) },
        }),
      ];

function blockdev(
  disk: Hardware['disks'][number],
  index: number,
  path: string,
  { diskBytesPerSecond }: QemuHardware,
): string {
  const name = `disk${index}`;
  if (diskBytesPerSecond === undefined) return JSON.stringify(image(disk, path, name));
  return JSON.stringify({
    driver: 'throttle',
    'node-name': name,
    'throttle-group': 'limit',
    'read-only': disk.readOnly,
    discard: 'unmap',
    file: image(disk, path, `image${index}`),
  });
}

function image(disk: Hardware['disks'][number], path: string, name: string) {
  return {
    driver: disk.format,
    'node-name': name,
    'read-only': disk.readOnly,
    discard: 'unmap',
    file: {
      driver: 'file',
      filename: path,
      aio: 'threads',
      'read-only': disk.readOnly,
      ...(disk.readOnly ? { locking: 'off' } : {}),
    },
  };
}

function network({ tap, mac }: Hardware['network'], device: string, options: string): string[] {
  if (!/^[A-Za-z0-9_.-]{1,15}$/.test(tap)) throw invalid('the name of a tap', tap);
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) throw invalid('a MAC address', mac);
  return [
    '-netdev',
    `tap,id=net0,ifname=${tap},script=no,downscript=no`,
    '-device',
    `${device},netdev=net0,id=nic0,mac=${mac}${options}`,
  ];
}

function positive(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1) throw invalid(name, value);
  return value;
}

const invalid = (what: string, value: string | number) =>
  new SandboxError('invalid_argument', `${JSON.stringify(value)} is not ${what}`);
