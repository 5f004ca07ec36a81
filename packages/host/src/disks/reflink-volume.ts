import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { type Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';

export type ReflinkVolume = {
  /** A file for the volume; made when there is none, and then takes space only as it is filled. */
  image: string;
  mountPoint: string;
  /** At least 1. */
  sizeGib: number;
};

/**
 * Mounts an XFS image with shared blocks, for hosts whose own file system has none. Direct I/O keeps
 * its pages from being cached twice. Disposing unmounts it; the image stays.
 *
 * Errors: `failed_precondition` when something is mounted there already or a tool is missing.
 */
export async function makeReflinkVolume(
  op: Operation,
  { image, mountPoint, sizeGib }: ReflinkVolume,
): Promise<AsyncDisposable> {
  await using held = new AsyncDisposableStack();
  const { signal } = op;
  if (await isMounted(mountPoint)) {
    throw new SandboxError('failed_precondition', `something is mounted at ${mountPoint} already`);
  }
  await mkdir(mountPoint, { recursive: true, mode: 0o700 });
  if (!(await stat(image).catch(() => undefined))) {
    // Made aside: a file under the final name is a whole file system.
    const aside = `${image}.new`;
    held.defer(() => rm(aside, { force: true }));
    {
      await using file = await open(aside, 'w', 0o600);
      await file.truncate(sizeGib * 2 ** 30);
    }
    await run('mkfs.xfs', ['-q', '-f', '-m', 'reflink=1', aside], { signal });
    await run('mv', ['--no-clobber', '--', aside, image], { signal });
  }
  const { stdout } = await run('losetup', ['--find', '--show', '--direct-io=on', image], { signal });
  const device = stdout.trim();
  held.defer(async () => void (await run('losetup', ['--detach', device])));
  await run('mount', ['-t', 'xfs', '-o', 'nosuid,nodev,discard', device, mountPoint], { signal });
  held.defer(async () => void (await run('umount', [mountPoint])));
  return held.move();
}

export async function isMounted(path: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  return mounts.split('\n').some((line) => line.split(' ')[4] === path.replaceAll(' ', '\\040'));
}
