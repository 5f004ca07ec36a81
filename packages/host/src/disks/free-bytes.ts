import { statfs } from 'node:fs/promises';

/** Bytes that an unprivileged user may still write to the file system of the folder. */
export async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
