import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';
import { checkKernelVersion, SandboxError } from '@sandbox-backend/protocol';
import { INITRAMFS_INIT, makeInitramfs } from './initramfs.ts';
import { extractVmlinux } from './vmlinux.ts';

export type Kernel = { version: string; vmlinux: string; initrd: string };

/** The name under `kernels/` of the kernel that set-up makes from Debian's package. */
export const DEFAULT_KERNEL = 'default';

/** Modules that Debian's cloud kernels do not build in, in the order they load; what is missing is built in. */
const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_mmio',
  'virtio_pci_modern_dev',
  'virtio_pci_legacy_dev',
  'virtio_pci',
  'virtio_blk',
  'failover',
  'net_failover',
  'virtio_net',
  'virtio_balloon',
  'libnvdimm',
  'nd_btt',
  'nd_pmem',
  'nd_virtio',
  'virtio_pmem',
  'overlay',
];

/**
 * Finds `kernels/<version>/vmlinux`. A kernel that a user put there without an initrd gets one without
 * modules: its virtio drivers must be built in.
 * Errors: `failed_precondition` when the kernel is missing.
 */
export async function findKernel(dataRoot: string, version: string): Promise<Kernel> {
  const folder = join(dataRoot, 'kernels', checkKernelVersion(version));
  const kernel = { version, vmlinux: join(folder, 'vmlinux'), initrd: join(folder, 'initrd') };
  if (!(await exists(kernel.vmlinux))) {
    throw new SandboxError('failed_precondition', `the kernel ${version} is missing: no ${kernel.vmlinux}`, {
      hint:
        version === DEFAULT_KERNEL
          ? 'Run scripts/start.sh, which prepares the default kernel.'
          : `Put an ELF vmlinux there, or leave kernelVersion out to take the default kernel.`,
    });
  }
  if (version !== DEFAULT_KERNEL) await prepareInitrd(folder, kernel.initrd);
  return kernel;
}

/** Makes the initrd of a user's kernel, and makes it anew when ours has changed; one of the user's own is left alone. */
async function prepareInitrd(folder: string, initrd: string): Promise<void> {
  const stamp = join(folder, 'initrd-recipe');
  const recipe = createHash('sha256').update(INITRAMFS_INIT).digest('hex');
  const made = await readFile(stamp, 'utf8').catch(() => undefined);
  if ((await exists(initrd)) && (made === undefined || made === recipe)) return;
  await publish(stamp, Buffer.from(recipe));
  await publish(initrd, await makeInitramfs({ busybox: '/usr/bin/busybox', modules: new Map() }));
}

/** Makes `kernels/default` from Debian's cloud kernel package (downloaded and unpacked, not installed), once. */
export async function prepareDefaultKernel(op: Operation, dataRoot: string): Promise<Kernel> {
  const folder = join(dataRoot, 'kernels', DEFAULT_KERNEL);
  // Made by another recipe than today's: made anew.
  const recipe = createHash('sha256')
    .update(JSON.stringify([MODULES, INITRAMFS_INIT]))
    .digest('hex');
  const made = await readFile(join(folder, 'recipe'), 'utf8').catch(() => '');
  if (made === recipe) return findKernel(dataRoot, DEFAULT_KERNEL);
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(dataRoot, 'kernels', '.work-'));
  try {
    const name = await op.phase('choose kernel', () => newestKernelPackage(op));
    await op.phase('download kernel', () =>
      run('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', name], { cwd: work, signal: op.signal }),
    );
    const [deb] = (await readdir(work)).filter((file) => file.endsWith('.deb'));
    await op.phase('unpack kernel', () =>
      run('dpkg-deb', ['-x', join(work, deb!), join(work, 'x')], { signal: op.signal }),
    );
    const boot = join(work, 'x', 'boot');
    const image = (await readdir(boot)).find((file) => file.startsWith('vmlinuz-'))!;
    const vmlinux = await extractVmlinux(await readFile(join(boot, image)), join(work, 'payload'));
    const modules = await readModules(op, join(work, 'x'));
    const initrd = await makeInitramfs({ busybox: '/usr/bin/busybox', modules });
    await publish(join(folder, 'vmlinux'), vmlinux);
    await publish(join(folder, 'version'), Buffer.from(`${image.slice('vmlinuz-'.length)}\n`));
    await publish(join(folder, 'initrd'), initrd);
    await publish(join(folder, 'recipe'), Buffer.from(recipe));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return findKernel(dataRoot, DEFAULT_KERNEL);
}

/** 6.12 before 6.1: it has VMGENID, so that a restored guest reseeds its random numbers by itself. */
async function newestKernelPackage(op: Operation): Promise<string> {
  const pattern = '^linux-image-6\\.(12|1)\\.[0-9.]+(-[0-9]+|\\+deb[0-9.+]+)-cloud-amd64$';
  const { stdout } = await run('apt-cache', ['search', '--names-only', pattern], { signal: op.signal });
  const names = stdout.split('\n').map((line) => line.split(' ')[0]!);
  const newest = chooseKernelPackage(names);
  if (newest) return newest;
  throw new SandboxError('failed_precondition', 'no cloud kernel 6.12 or 6.1 is in the package lists', {
    hint: 'Run apt-get update, and check that the Debian security suite is among the sources.',
  });
}

export function chooseKernelPackage(names: readonly string[]): string | undefined {
  const versions = names
    .map((name) => ({
      name,
      version: /^linux-image-([0-9.]+(?:-[0-9]+|\+deb[0-9.]+))-cloud-/.exec(name)?.[1],
    }))
    .filter((row): row is { name: string; version: string } => row.version !== undefined);
  const series = (prefix: string) => versions.filter((row) => row.version.startsWith(prefix));
  const candidates = series('6.12.').length > 0 ? series('6.12.') : series('6.1.');
  return candidates.sort((a, b) => a.version.localeCompare(b.version, 'en', { numeric: true })).at(-1)?.name;
}

async function readModules(op: Operation, tree: string): Promise<Map<string, Uint8Array>> {
  const { stdout } = await run('find', [tree, '-name', '*.ko', '-o', '-name', '*.ko.xz'], {
    signal: op.signal,
  });
  const files = new Map(
    stdout.split('\n').map((path) => [/([^/]+)\.ko(\.xz)?$/.exec(path)?.[1] ?? '', path]),
  );
  const modules = new Map<string, Uint8Array>();
  for (const name of MODULES) {
    const path = files.get(name);
    if (!path) continue;
    if (path.endsWith('.xz')) await run('xz', ['-d', path], { signal: op.signal });
    modules.set(name, await readFile(path.replace(/\.xz$/, '')));
  }
  return modules;
}

async function publish(path: string, data: Uint8Array): Promise<void> {
  await writeFile(`${path}.tmp`, data, { mode: 0o644 });
  await rename(`${path}.tmp`, path);
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
