import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SandboxError } from '@sandbox-backend/protocol';
import type { CallOptions, Envd, FileEntry } from '@sandbox-backend/sdk';
import { note } from '../text/print.ts';
import type { LocalLocation } from './location.ts';

/** Deeper than any folder that people make, so that a hostile guest cannot keep this going for ever. */
const DEEPEST = 100;

/** Copies a file or folder of a sandbox here; into `target` if that is a folder, else to that name. */
export async function download(envd: Envd, path: string, target: LocalLocation, options: CallOptions) {
  if (target.type === 'stream') {
    return pipeline(await envd.read(path, options), process.stdout, { end: false });
  }
  const entry = await envd.stat(path, options);
  if (!entry) throw new SandboxError('not_found', `There is no ${path} in the sandbox`);
  const here = await stat(target.path).catch(() => undefined);
  const into = here?.isDirectory() || target.path.endsWith('/');
  const destination = into ? join(target.path, basename(posix.normalize(path))) : target.path;
  if (entry.type !== 'directory') {
    if (into) await mkdir(target.path, { recursive: true });
    return downloadFile(envd, path, destination, entry, options);
  }
  if (here && !into) {
    throw new SandboxError('failed_precondition', `${target.path} is a file, and ${path} is a folder`);
  }
  await downloadFolder(envd, path, destination, options, 0);
}

async function downloadFolder(
  envd: Envd,
  path: string,
  target: string,
  options: CallOptions,
  depth: number,
): Promise<void> {
  if (depth > DEEPEST)
    throw new SandboxError('invalid_argument', `${path} is more than ${DEEPEST} folders deep`);
  await mkdir(target, { recursive: true });
  for (const entry of await envd.list(path, options)) {
    const name = checkName(entry.name);
    const from = posix.join(path, name);
    const to = join(target, name);
    if (entry.type === 'file') await downloadFile(envd, from, to, entry, options);
    else if (entry.type === 'directory' && !entry.symlinkTarget) {
      await downloadFolder(envd, from, to, options, depth + 1);
    } else note(`${from} was left out: it is neither a file nor a folder`);
  }
}

/** The guest chooses the names; none may lead out of the folder that the user named. */
function checkName(name: string): string {
  if (name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name;
  throw new SandboxError('invalid_argument', `The sandbox names a file ${JSON.stringify(name)}`);
}

async function downloadFile(
  envd: Envd,
  path: string,
  target: string,
  entry: FileEntry,
  options: CallOptions,
): Promise<void> {
  await writeWhole(await envd.read(path, options), target, entry.mode);
}

/** Under a name of its own until it is complete; a device or pipe is written in place. */
async function writeWhole(content: Readable, target: string, mode: number): Promise<void> {
  const there = await stat(target).catch(() => undefined);
  if (there && !there.isFile()) return pipeline(content, createWriteStream(target));
  const partial = join(dirname(target), `.${basename(target)}.${randomBytes(4).toString('hex')}.part`);
  try {
    await pipeline(content, createWriteStream(partial, { mode, flags: 'wx' }));
    await rename(partial, target);
  } catch (caught) {
    await rm(partial, { force: true });
    throw caught;
  }
}
