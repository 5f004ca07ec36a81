import { join } from 'node:path';
import type { VmmIdentity } from '@sandbox-backend/protocol';
import type { DiskSpec, Hardware } from '@sandbox-backend/vmm';
import { BUILD_FILES } from './builds/paths.ts';

/**
 * The disks of every machine, in device order: `vda` root file system, `vdb` envd, and with an overlay
 * `vdc`, the private upper layer. A VMM that maps the shared root file system makes it `pmem0`, and the others
 * move up. Boot and restore must agree on it.
 */
export function disksOf(options: {
  /** The read-only disks that machines share. */
  envd: string;
  rootfs: string;
  overlay: boolean;
  /** The one disk that this machine writes: the root file system, or with an overlay the upper layer. */
  writable: { path: string; format: DiskSpec['format'] };
}): DiskSpec[] {
  const { overlay, writable } = options;
  const envd: DiskSpec = { id: 'envd', path: options.envd, format: 'raw', readOnly: true };
  if (!overlay) return [{ id: 'rootfs', ...writable, readOnly: false }, envd];
  const lower: DiskSpec = { id: 'rootfs', path: options.rootfs, format: 'raw', readOnly: true, mapped: true };
  return [lower, envd, { id: 'upper', ...writable, readOnly: false }];
}

/** The disks of a machine that is restored from the build in `directory`. */
export const disksOfBuild = (
  directory: string,
  overlay: boolean,
  writable: Parameters<typeof disksOf>[0]['writable'],
) =>
  disksOf({
    envd: join(directory, BUILD_FILES.envd),
    rootfs: join(directory, BUILD_FILES.rootfs),
    overlay,
    writable,
  });

/** The file of a build that its machines write, each in a copy of its own. */
export const writableDisk = (overlay: boolean) => (overlay ? BUILD_FILES.upper : BUILD_FILES.rootfs);

/** Every argument has its reason here. */
export function kernelCommandLine(options: {
  overlay: boolean;
  debug: boolean;
  vmm: Pick<VmmIdentity, 'kind' | 'accelerator'>;
  /** The shared root file system is memory, not a disk. */
  mapsDisks: boolean;
}): string {
  return [
    'console=ttyS0',
    options.debug ? 'loglevel=7' : 'quiet loglevel=1', // serial output is the main cost of an emulated boot
    // A dead guest ends its VMM: by a triple fault, or where that is no end by the keyboard controller.
    `panic=1 reboot=${options.vmm.kind === 'firecracker' ? 'k' : 't'}`,
    'net.ifnames=0', // the nic is eth0 on every machine type
    'random.trust_cpu=on',
    'cryptomgr.notests no_timer_check rcupdate.rcu_expedited=1', // boot time
    'i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd', // no keyboard to probe for
    // An emulated processor does not speculate: the guest's defences against it only cost instructions.
    ...(options.vmm.accelerator === 'tcg' ? ['mitigations=off'] : []),
    ...(options.overlay ? ['overlay=1'] : []),
    ...(options.overlay && options.mapsDisks ? ['lower=pmem0'] : []),
  ].join(' ');
}

export const hardwareOf = (
  sizes: { vcpus: number; memoryMib: number },
  disks: DiskSpec[],
  network: Hardware['network'],
  limits: Pick<Hardware, 'diskBytesPerSecond'> = {},
): Hardware => ({ ...sizes, disks, network, ...limits });
