import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';

/** What a host of machines needs, without what only builds images. */
const PACKAGES = [
  ...['qemu-system-x86', 'qemu-utils', 'iproute2', 'nftables', 'util-linux', 'kmod', 'procps', 'hostname'],
  ...[
    'e2fsprogs',
    'xfsprogs',
    'busybox-static',
    'xz-utils',
    'zstd',
    'lz4',
    'ca-certificates',
    'iputils-ping',
  ],
  ...['libcap2-bin', 'python3-minimal', 'git', 'openssl'],
];
const LEFT_OUT = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*'];

/** QEMU 8.2 is needed, which Debian 12 has in its backports. */
const PIN = 'Package: qemu* seabios* ipxe*\nPin: release n=*-backports\nPin-Priority: 990\n';

/**
 * The root disk of the rig's machine: Debian of this host's release with QEMU, and the modules of the kernel that
 * guests have too. Made once for each list of packages and each kernel.
 */
export async function baseDisk(op: Operation, cache: string, kernelVersion: string): Promise<string> {
  const recipe = createHash('sha256').update(JSON.stringify([PACKAGES, LEFT_OUT, PIN, kernelVersion]));
  const disk = join(cache, `base-${recipe.digest('hex').slice(0, 16)}.ext4`);
  if (await exists(disk)) return disk;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, '.work-'));
  try {
    const root = join(work, 'root');
    await op.phase('install Debian', () => bootstrap(op, root));
    await op.phase('unpack kernel modules', () => addModules(op, work, root, kernelVersion));
    const image = join(work, 'disk');
    await run('mkfs.ext4', ['-q', '-F', '-d', root, '-O', '^has_journal', image, '3G'], {
      signal: op.signal,
    });
    await rename(image, disk);
  } finally {
    await run('rm', ['-rf', '--one-file-system', work]);
  }
  return disk;
}

async function bootstrap(op: Operation, root: string): Promise<void> {
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1] ?? '';
  const pin = `mkdir -p "$1/etc/apt/preferences.d" && printf '%s' "$PIN" >"$1/etc/apt/preferences.d/qemu"`;
  const args = [
    ...[
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      '--',
      'mmdebstrap',
      '--variant=minbase',
    ],
    `--include=${PACKAGES.join(',')}`,
    ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
    `--setup-hook=${pin}`,
    ...['--format=directory', codename, root, ...(await aptSources(codename))],
  ];
  await run('unshare', args, { signal: op.signal, env: { ...process.env, PIN } });
}

/** All of this host's own sources for its release, as lines. */
async function aptSources(codename: string): Promise<string[]> {
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI) $(RELEASE) $(COMPONENT)',
    'Created-By: Packages',
  ]);
  const lines = stdout.split('\n').map((line) => line.trim().split(' '));
  const wanted = lines.filter(([, release]) => release?.split('-')[0] === codename);
  return [...new Set(wanted.map(([uri, release, component]) => `deb ${uri} ${release} ${component}`))];
}

async function addModules(op: Operation, work: string, root: string, version: string): Promise<void> {
  const cwd = join(work, 'kernel');
  await mkdir(cwd);
  const options = { cwd, signal: op.signal };
  await run('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', `linux-image-${version}`], options);
  const [deb] = await readdir(cwd);
  await run('dpkg-deb', ['-x', deb!, 'x'], options);
  const modules = (await exists(join(cwd, 'x/lib/modules'))) ? 'x/lib/modules' : 'x/usr/lib/modules';
  await run('cp', ['-r', modules, join(root, 'usr/lib/')], options);
  await run('depmod', ['-b', root, version], options);
  await rm(cwd, { recursive: true });
}

export const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
