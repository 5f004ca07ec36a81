import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';
import { exists } from './base-disk.ts';

export type Job = {
  command: readonly string[];
  environment: Record<string, string>;
  /** Programs that are put on the machine's PATH, by name. */
  programs: Record<string, string>;
};

/** What the initramfs of every guest takes for envd's disk: here it has the rig's init, its job and the VMMs. */
export async function jobDisk(op: Operation, folder: string, job: Job): Promise<string> {
  const tree = join(folder, 'job');
  await mkdir(join(tree, 'bin'), { recursive: true });
  await mkdir(join(tree, 'vmms'));
  await copyFile('/usr/bin/busybox', join(tree, 'bin/busybox'));
  await copyFile(join(import.meta.dirname, 'init.sh'), join(tree, 'init'));
  for (const [name, path] of Object.entries(job.programs)) await copyFile(path, join(tree, 'vmms', name));
  const exports = Object.entries(job.environment).map(([name, value]) => `export ${name}=${quote(value)}`);
  await writeFile(join(tree, 'job'), [...exports, `exec ${job.command.map(quote).join(' ')}`, ''].join('\n'));
  return makeDisk(op, folder, 'job.ext4', tree, '128M');
}

/** The project as it stands, with what npm installed. */
export async function projectDisk(op: Operation, folder: string, checkout: string): Promise<string> {
  const tree = join(folder, 'project');
  await mkdir(tree);
  const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: checkout,
    signal: op.signal,
  });
  const list = join(folder, 'files');
  await writeFile(list, stdout);
  const archive = join(folder, 'project.tar');
  await run(
    'tar',
    ['-cf', archive, '--ignore-failed-read', '--null', `--files-from=${list}`, 'node_modules'],
    {
      cwd: checkout,
      signal: op.signal,
    },
  );
  await run('tar', ['-xf', archive, '-C', tree], { signal: op.signal });
  return makeDisk(op, folder, 'project.ext4', tree, '2G');
}

/** The data folder of the tests: kernel, envd and root file systems that this host has made, on an XFS. */
export async function dataDisk(op: Operation, folder: string, dataRoot: string): Promise<string> {
  const disk = join(folder, 'data.xfs');
  const mount = join(folder, 'data');
  await run('truncate', ['-s', '16G', disk]);
  await run('mkfs.xfs', ['-q', disk], { signal: op.signal });
  await mkdir(mount);
  await run('mount', ['-o', 'loop', disk, mount]);
  try {
    for (const name of ['kernels', 'envd', 'cache/images', 'cache/rootfs']) {
      const source = join(dataRoot, name);
      if (!(await exists(source))) continue;
      await mkdir(join(mount, name), { recursive: true });
      await run('cp', ['-a', '--sparse=always', `${source}/.`, join(mount, name)], { signal: op.signal });
    }
  } finally {
    await run('umount', [mount]);
  }
  return disk;
}

async function makeDisk(
  op: Operation,
  folder: string,
  name: string,
  tree: string,
  size: string,
): Promise<string> {
  const disk = join(folder, name);
  const options = ['-q', '-F', '-d', tree, '-O', '^has_journal', '-E', 'root_owner=0:0', disk, size];
  await run('mkfs.ext4', options, { signal: op.signal });
  return disk;
}

const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
