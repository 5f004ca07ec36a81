import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';
import { GUEST_INIT } from './init.ts';

export type EnvdDiskSources = {
  /** The Bun executable that runs envd in the guest. */
  bun: string;
  /** envd, bundled to one JavaScript file. */
  bundle: string;
};

/**
 * Makes the read-only disk that every guest has as `vdb`, mounted at `/.envd`: envd and its runtime with
 * a loader and libc of their own, a static busybox, setpriv and the init. Nothing is required of the image.
 * The name holds a digest of the content: a build keeps the disk it was made with.
 */
export async function makeEnvdDisk(op: Operation, folder: string, sources: EnvdDiskSources): Promise<string> {
  await mkdir(folder, { recursive: true });
  const digest = await digestOf(
    [sources.bundle, sources.bun, '/usr/bin/busybox', '/usr/bin/setpriv'],
    GUEST_INIT,
  );
  const disk = join(folder, `envd-${digest.slice(0, 16)}.ext4`);
  if (await stat(disk).catch(() => undefined)) return disk;

  const work = await mkdtemp(join(folder, '.work-'));
  try {
    const root = join(work, 'root');
    await mkdir(join(root, 'bin'), { recursive: true });
    await mkdir(join(root, 'lib'));
    await copyFile(sources.bun, join(root, 'bin', 'bun'));
    await copyFile('/usr/bin/busybox', join(root, 'bin', 'busybox'));
    await copyFile('/usr/bin/setpriv', join(root, 'bin', 'setpriv'));
    await copyFile(sources.bundle, join(root, 'envd.js'));
    await writeFile(join(root, 'init'), GUEST_INIT);
    await copyLibraries(op, root, [sources.bun, '/usr/bin/setpriv']);
    for (const file of ['bin/bun', 'bin/busybox', 'bin/setpriv', 'init', 'ld.so'])
      await chmod(join(root, file), 0o755);
    const { stdout } = await run('du', ['-sm', root], { signal: op.signal });
    const mib = Math.ceil(Number.parseInt(stdout, 10) * 1.05) + 4;
    const image = join(work, 'disk.ext4');
    await run(
      'mkfs.ext4',
      [
        '-q',
        '-F',
        '-O',
        '^has_journal,^resize_inode',
        '-m',
        '0',
        '-N',
        '64',
        '-E',
        'root_owner=0:0',
        '-d',
        root,
        image,
        `${mib}M`,
      ],
      { signal: op.signal },
    );
    await chmod(image, 0o444);
    await rename(image, disk);
    return disk;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The loader and shared libraries of the programs, found as the loader itself finds them. */
async function copyLibraries(op: Operation, root: string, programs: readonly string[]): Promise<void> {
  for (const program of programs) {
    const { stdout } = await run('ldd', [program], { signal: op.signal });
    for (const [, path] of stdout.matchAll(/(\/\S+)\s+\(0x/g)) {
      const source = await realpath(path!);
      const isLoader = basename(path!).startsWith('ld-linux') || basename(path!).startsWith('ld-musl');
      await copyFile(source, isLoader ? join(root, 'ld.so') : join(root, 'lib', basename(path!)));
    }
  }
}

async function digestOf(files: readonly string[], text: string): Promise<string> {
  const hash = createHash('sha256').update(text);
  for (const file of files) hash.update(await readFile(file));
  return hash.digest('hex');
}
