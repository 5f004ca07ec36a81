import { open, rm } from 'node:fs/promises';
import { type Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { outOfSpace } from './clone.ts';
import { type DiskFormat, readQcow2Header } from './qcow2.ts';

export type FlattenSpec = {
  /** A qcow2 overlay that a VMM has written: it is not trusted. Its machine must be paused or gone. */
  from: string;
  /** What lies below it, on this host; what the overlay itself names is never opened. */
  backing: { path: string; format: DiskFormat };
  to: string;
  format: DiskFormat;
};

/**
 * Writes an overlay and what lies below it as one disk of its own. Nothing is left when it fails.
 *
 * Errors: `failed_precondition` when `from` is no qcow2 image, or one that names another file for its data.
 */
export async function flattenDisk(op: Operation, spec: FlattenSpec): Promise<void> {
  await checkOverlay(spec.from);
  const file = (filename: string) => ({ driver: 'file', filename, 'read-only': true, locking: 'off' });
  const source = {
    driver: 'qcow2',
    'read-only': true,
    file: file(spec.from),
    backing: { driver: spec.backing.format, 'read-only': true, file: file(spec.backing.path) },
  };
  try {
    await run('qemu-img', ['convert', '-O', spec.format, `json:${JSON.stringify(source)}`, spec.to], {
      signal: op.signal,
    });
  } catch (caught) {
    await rm(spec.to, { force: true });
    throw outOfSpace(caught, spec.to);
  }
}

/** An image may keep its data in any other file by name: one that a guest took over could read this host's files so. */
async function checkOverlay(path: string): Promise<void> {
  const header = Buffer.alloc(104);
  await using file = await open(path, 'r');
  await file.read(header, 0, header.length, 0);
  const info = readQcow2Header(header);
  if (!info) throw new SandboxError('failed_precondition', `${path} is not a qcow2 image`);
  if (info.hasExternalData) {
    throw new SandboxError('failed_precondition', `${path} keeps its data in another file and is refused`);
  }
}
