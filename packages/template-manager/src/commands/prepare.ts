import { mkdir } from 'node:fs/promises';
import { acquireFileLock, type Operation } from '@sandbox-backend/kit';
import { paths } from '@sandbox-backend/machines';
import { prepareEnvdDisk } from '../guest/envd-bundle.ts';
import { prepareDefaultKernel } from '../guest/kernel.ts';

/** Makes what every template needs, where it is missing: the default kernel with its initramfs, and the envd disk. */
export async function prepare(op: Operation, dataRoot: string): Promise<void> {
  await mkdir(dataRoot, { recursive: true, mode: 0o755 });
  await using _lock = await acquireFileLock(`${dataRoot}/prepare.lock`, 'the data folder');
  await prepareDefaultKernel(op, dataRoot);
  await prepareEnvdDisk(op, paths.envdDisks(dataRoot));
}
