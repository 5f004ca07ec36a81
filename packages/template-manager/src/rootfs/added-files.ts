import { createHash } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import { findDirectory, lookUp, makeFile, makeParents, place, splitPath, type Tree } from '../image/tree.ts';
import type { Account } from './accounts.ts';
import { EDIT_TIME } from './edits.ts';

/** A file that a specification lays over its image: what the image's author would have copied into it. */
export type AddedFile = {
  /** In the guest, without a leading slash; bytes as latin1, as in a tree. */
  path: string;
  content: Buffer;
  executable: boolean;
};

/** They are held in memory: data belongs into the image. */
const LIMITS = { files: 1000, bytes: 16 * 1024 ** 2 };

/**
 * Reads all files below a folder, in the order of their paths. Empty folders count for nothing, as in git.
 *
 * Errors: `not_found` without such a folder, `invalid_argument` for what is neither file nor folder (a symbolic
 * link among them) and beyond 1000 files or 16 MiB.
 */
export async function readAddedFiles(folder: string): Promise<AddedFile[]> {
  const files: AddedFile[] = [];
  let bytes = 0;
  for (const path of await listFiles(folder)) {
    const file = await readAdded(folder, path, LIMITS.bytes - bytes);
    bytes += file.content.length;
    files.push(file);
  }
  return files;
}

async function listFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  const pending = [''];
  for (let under = pending.pop(); under !== undefined; under = pending.pop()) {
    const entries = await readdir(join(folder, under), { withFileTypes: true }).catch((cause) => {
      throw explain(cause, folder);
    });
    for (const entry of entries) {
      const path = join(under, entry.name);
      if (entry.isDirectory()) pending.push(path);
      else if (entry.isFile()) found.push(path);
      else throw invalid(`${join(folder, path)} is neither a file nor a folder`);
    }
    if (found.length > LIMITS.files) throw invalid(`${folder} has more than ${LIMITS.files} files`);
  }
  return found.sort();
}

async function readAdded(folder: string, path: string, room: number): Promise<AddedFile> {
  await using file = await open(join(folder, path), 'r');
  const { mode, size } = await file.stat();
  if (size > room) throw invalid(`the files in ${folder} are larger than ${LIMITS.bytes} bytes`);
  return {
    path: Buffer.from(path).toString('latin1'),
    content: await file.readFile(),
    executable: (mode & 0o100) !== 0,
  };
}

/** Names what is added: the same files give the same digest, whenever and by whom they were written. */
export function digestOf(files: readonly AddedFile[]): string {
  const hash = createHash('sha256');
  for (const { path, content, executable } of files) {
    hash.update(JSON.stringify([path, content.length, executable])).update(content);
  }
  return hash.digest('hex');
}

/**
 * Puts the files into an image's tree. They are root's, and the account's below its home, as are the folders
 * made for them. A file or link in the way is replaced. Pure.
 *
 * Errors: `invalid_argument` for a file where the image has a folder.
 */
export function layFiles(tree: Tree, files: readonly AddedFile[], account: Account): void {
  const home = splitPath(account.home, tree.limits);
  const ownerOf = (names: readonly string[]) =>
    home.length > 0 && home.every((name, index) => names[index] === name)
      ? { uid: account.uid, gid: account.gid }
      : { uid: 0, gid: 0 };
  for (const { path, content, executable } of files) {
    const names = splitPath(path, tree.limits);
    for (let depth = 1; depth < names.length; depth++) {
      const parent = names.slice(0, depth);
      if (findDirectory(tree, parent)) continue;
      Object.assign(makeParents(tree, parent), { ...ownerOf(parent), mtime: EDIT_TIME });
    }
    if (lookUp(tree, names)?.type === 'directory') {
      throw invalid(`/${path} is a folder of the image, and cannot become a file`);
    }
    const fields = { mode: executable ? 0o755 : 0o644, mtime: EDIT_TIME, ...ownerOf(names) };
    place(tree, makeParents(tree, names.slice(0, -1)), names.at(-1)!, makeFile(content, fields));
  }
}

function explain(cause: NodeJS.ErrnoException, folder: string): SandboxError {
  if (cause.code === 'ENOENT') {
    return new SandboxError('not_found', `the folder of added files ${folder} is not there`, {
      cause,
      hint: 'Check the path; it is a path on the host that builds.',
    });
  }
  if (cause.code === 'ENOTDIR')
    return invalid(`${folder} is not a folder, and files are added from a folder`);
  return SandboxError.from(cause);
}

const invalid = (message: string) =>
  new SandboxError('invalid_argument', message, {
    hint: 'What is below the folder is laid over the image under the same paths; larger data belongs into the image.',
  });
