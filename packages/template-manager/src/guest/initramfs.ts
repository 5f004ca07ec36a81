import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { type CpioEntry, packCpio } from '@sandbox-backend/kit';

/**
 * The first program of every guest. It loads the modules that the kernel has not built in, joins the
 * disks and hands over to the init on the envd disk. Nothing is asked of the image.
 *
 * Disks: `vda` root file system, `vdb` envd (read-only), and with `overlay=1` on the kernel command
 * line `vda` is read-only and shared, and `vdc` is the sandbox's private upper layer; with `lower=pmem0` the shared
 * one is memory that the VMM maps, mounted without a copy in the guest, and `vda` and `vdb` are the others. With `probe=1`
 * it needs no disk: it says that it runs, and powers off.
 */
export const INITRAMFS_INIT = `#!/bin/sh
export PATH=/bin
fail() { echo "initramfs: $1" >/dev/console; sleep 1; echo o >/proc/sysrq-trigger; sleep 5; poweroff -f; }
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
lower=/dev/vda envd=/dev/vdb upper=/dev/vdc
if grep -q 'lower=pmem0' /proc/cmdline; then lower=/dev/pmem0 envd=/dev/vda upper=/dev/vdb; fi
for module in $(cat /modules/order); do
  case $module in libnvdimm | nd_* | virtio_pmem) [ $lower = /dev/pmem0 ] || continue ;; esac
  insmod /modules/$module.ko 2>/dev/null
done
if grep -q 'probe=1' /proc/cmdline; then echo 'guest-probe-ok' >/dev/console; poweroff -f; fi
tries=0
while { [ ! -b $envd ] || [ ! -b $lower ]; } && [ $tries -lt 500 ]; do sleep 0.02; tries=$((tries + 1)); done
[ -b $lower ] || fail "no root disk ($lower)"
if grep -q 'overlay=1' /proc/cmdline; then
  mkdir -p /lower /upper
  dax=; [ $lower != /dev/pmem0 ] || dax=,dax=always
  mount -t ext4 -o ro,noload,noatime$dax $lower /lower || fail 'cannot mount the shared root disk'
  mount -t ext4 -o noatime $upper /upper || fail 'cannot mount the private upper disk'
  mkdir -p /upper/upper /upper/work
  mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work overlay /root || fail 'cannot join the disks'
else
  mount -t ext4 -o noatime $lower /root || fail 'cannot mount the root disk'
fi
mkdir -p /root/.envd /root/proc /root/sys /root/dev
mount -t ext4 -o ro,noload $envd /root/.envd || fail 'cannot mount the envd disk'
mount --move /proc /root/proc; mount --move /sys /root/sys; mount --move /dev /root/dev
exec switch_root -c /dev/console /root /.envd/bin/busybox sh /.envd/init
`;

/** Builds the initramfs from a static busybox and the kernel's modules, in the order they load. */
export async function makeInitramfs(options: {
  busybox: string;
  /** Name without `.ko` → module file, already decompressed. */
  modules: ReadonlyMap<string, Uint8Array>;
}): Promise<Buffer> {
  const applets = [
    'sh',
    'mount',
    'mkdir',
    'insmod',
    'cat',
    'grep',
    'sleep',
    'echo',
    'poweroff',
    'switch_root',
    '[',
  ];
  const entries: CpioEntry[] = [
    ...['bin', 'dev', 'proc', 'sys', 'root', 'modules'].map((path) => ({ path, type: 'directory' as const })),
    { path: 'bin/busybox', type: 'file', mode: 0o755, data: await readFile(options.busybox) },
    ...applets.map((name) => ({ path: `bin/${name}`, type: 'symlink' as const, target: 'busybox' })),
    { path: 'init', type: 'file', mode: 0o755, data: Buffer.from(INITRAMFS_INIT) },
    {
      path: 'modules/order',
      type: 'file',
      mode: 0o644,
      data: Buffer.from([...options.modules.keys()].join('\n')),
    },
    ...[...options.modules].map(([name, data]) => ({
      path: `modules/${name}.ko`,
      type: 'file' as const,
      mode: 0o644,
      data,
    })),
  ];
  return gzipSync(packCpio(entries), { level: 6 });
}
