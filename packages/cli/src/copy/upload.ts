import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import type { CallOptions, Envd } from '@sandbox-backend/sdk';
import { note } from '../text/print.ts';
import type { LocalLocation } from './location.ts';
import { makeExecutable } from './make-executable.ts';

/** Copies a file, a folder or standard input into a sandbox; into `target` if that is a folder, else to that name. */
export async function upload(envd: Envd, source: LocalLocation, target: string, options: CallOptions) {
  if (source.type === 'stream') return envd.write(target, process.stdin, options);
  const { path } = source;
  const found = await stat(path).catch((cause: unknown) => {
    throw new SandboxError('not_found', `There is no ${path} here`, { cause });
  });
  const entry = await envd.stat(target, options);
  const into = entry?.type === 'directory' || target.endsWith('/');
  const destination = into ? posix.join(target, basename(path)) : target;
  if (found.isDirectory() && entry && !into) {
    throw new SandboxError('failed_precondition', `${target} is a file, and ${path} is a folder`);
  }
  const executables: string[] = [];
  const uploadAny = found.isDirectory() ? uploadFolder : uploadFile;
  await uploadAny(envd, path, destination, options, executables);
  await makeExecutable(envd, executables, options);
}

async function uploadFolder(
  envd: Envd,
  path: string,
  target: string,
  options: CallOptions,
  executables: string[],
): Promise<void> {
  await envd.makeFolder(target, options);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const from = join(path, entry.name);
    const to = posix.join(target, entry.name);
    if (entry.isDirectory()) await uploadFolder(envd, from, to, options, executables);
    else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(from)))) {
      await uploadFile(envd, from, to, options, executables);
    } else note(`${from} was left out: it is neither a file nor a folder`);
  }
}

async function uploadFile(
  envd: Envd,
  path: string,
  target: string,
  options: CallOptions,
  executables: string[],
): Promise<void> {
  const { size, mode } = await stat(path);
  // The size of a pipe or of a file in /proc is not known beforehand.
  const known = size > 0;
  const content = createReadStream(path, { highWaterMark: 256 * 1024, ...(known && { end: size - 1 }) });
  await envd.write(target, content, { ...options, ...(known && { bytes: size }) });
  if ((mode & 0o111) !== 0) executables.push(target);
}

const isFile = async (path: string) => {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false; // a link to nothing
  }
};
