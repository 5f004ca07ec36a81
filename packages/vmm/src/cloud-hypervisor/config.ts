import { dirname } from 'node:path';
import { asFields, type Fields } from '../control/fields.ts';
import type { DiskSpec, Hardware } from '../vmm.ts';

/** All as the VMM process sees them. */
export type CloudHypervisorPaths = {
  /** The machine's own folder. */
  machine: string;
  memoryFile: string;
  console: string;
  /** In the order of the hardware's disks. */
  disks: readonly string[];
  /** An empty file. */
  noKernel: string;
};

/**
 * The body of `vm.create` (`vmm/src/api/openapi/cloud-hypervisor.yaml`, VmConfig). Guest memory is a file that the
 * VMM shares: a snapshot leaves it where it is, and machines map it privately.
 */
export function vmConfig(
  hardware: Hardware,
  paths: CloudHypervisorPaths,
  guest: { kernel: string; initrd: string; commandLine: string },
): Fields {
  return {
    cpus: { boot_vcpus: hardware.vcpus, max_vcpus: hardware.vcpus, nested: false },
    memory: { size: 0, zones: [zone(hardware, paths.memoryFile, true)] },
    payload: { kernel: guest.kernel, initramfs: guest.initrd, cmdline: guest.commandLine },
    ...storage({ ...hardware, diskBytesPerSecond: undefined }, paths),
    net: [{ id: 'eth0', tap: hardware.network.tap, mac: hardware.network.mac }],
    rng: { src: '/dev/urandom' },
    balloon: { size: 0, deflate_on_oom: true, free_page_reporting: true },
    serial: { mode: 'File', file: paths.console },
    console: { mode: 'Off' },
    ...confinement(hardware, paths),
  };
}

/**
 * The configuration of a snapshot for a machine of its own: the same devices in the same order, on other files. Its
 * kernel is in its memory; that one is named all the same is asked for, and it must be a file.
 */
export function restoreConfig(saved: unknown, hardware: Hardware, paths: CloudHypervisorPaths): Fields {
  const config = asFields(saved);
  const list = (value: unknown) => (Array.isArray(value) ? value.map(asFields) : []);
  const own = storage(hardware, paths);
  return {
    ...config,
    payload: { kernel: paths.noKernel },
    memory: { ...asFields(config.memory), zones: [zone(hardware, paths.memoryFile, false)] },
    disks: list(config.disks).map((disk, index) => ({ ...disk, ...own.disks[index] })),
    pmem: own.pmem ? list(config.pmem).map((device, index) => ({ ...device, ...own.pmem![index] })) : null,
    net: list(config.net).map((net) => ({ ...net, tap: hardware.network.tap })),
    serial: { ...asFields(config.serial), mode: 'File', file: paths.console },
    ...confinement(hardware, paths),
  };
}

const zone = (hardware: Hardware, file: string, shared: boolean) => ({
  id: 'memory',
  size: hardware.memoryMib * 1024 * 1024,
  file,
  shared,
});

/** What is mapped is no disk: the guest reads it as memory, and what it might write stays with it. */
function storage(hardware: Hardware, paths: CloudHypervisorPaths) {
  const all = hardware.disks.map((disk, index) => ({ disk, path: paths.disks[index]! }));
  const mapped = all.filter(({ disk }) => disk.mapped);
  return {
    disks: all.filter(({ disk }) => !disk.mapped).map(({ disk, path }) => diskConfig(disk, path, hardware)),
    ...(mapped.length > 0
      ? { pmem: mapped.map(({ disk, path }) => ({ id: disk.id, file: path, discard_writes: true })) }
      : {}),
  };
}

const diskConfig = (disk: DiskSpec, path: string, { diskBytesPerSecond }: Hardware) => ({
  id: disk.id,
  path,
  readonly: disk.readOnly,
  image_type: disk.format === 'raw' ? 'Raw' : 'Qcow2',
  // The overlay names the template's disk, which the machine may only read.
  backing_files: disk.format === 'qcow2',
  rate_limiter_config: diskBytesPerSecond
    ? { bandwidth: { size: diskBytesPerSecond, refill_time: 1000 } }
    : null,
});

/** Landlock: the VMM opens nothing but the files of its configuration and what is below these. */
const confinement = (hardware: Hardware, paths: CloudHypervisorPaths) => ({
  landlock_enable: true,
  landlock_rules: [
    { path: paths.machine, access: 'rw' },
    // Whether the tap has several queues is asked of sysfs.
    { path: `/sys/class/net/${hardware.network.tap}`, access: 'r' },
    ...[...new Set([paths.memoryFile, ...paths.disks].map(dirname))]
      .filter((folder) => folder !== paths.machine)
      .map((path) => ({ path, access: 'r' })),
  ],
});
