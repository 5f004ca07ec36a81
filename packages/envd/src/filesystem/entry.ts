import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename } from 'node:path';
import { getMetadata } from '../files/metadata.ts';
import type { Users } from '../users/users.ts';

export type EntryInfo = {
  name: string;
  type?: 'FILE_TYPE_FILE' | 'FILE_TYPE_DIRECTORY' | 'FILE_TYPE_SYMLINK';
  path: string;
  size?: string;
  mode?: number;
  permissions: string;
  owner: string;
  group: string;
  modifiedTime: string;
  symlinkTarget?: string;
  metadata?: Record<string, string>;
};

/**
 * What is at the path. A symbolic link has the type and mode of what it leads to, and everything else of
 * itself; one that leads nowhere has no type. Throws the error of the system call.
 */
export function entryOf(path: string, users: Users): EntryInfo {
  const stat = lstatSync(path);
  const entry: EntryInfo = {
    name: basename(path) || '/',
    path,
    permissions: permissionsOf(stat.mode),
    owner: users.userName(stat.uid),
    group: users.groupName(stat.gid),
    modifiedTime: new Date(stat.mtimeMs).toISOString(),
  };
  if (stat.size > 0) entry.size = String(stat.size);
  const target = stat.isSymbolicLink() ? resolveLink(path, entry) : stat;
  if (target) {
    const type = typeOf(target);
    if (type) entry.type = type;
    const mode = target.mode & 0o777;
    if (mode !== 0) entry.mode = mode;
  }
  if (stat.isFile() || stat.isDirectory()) {
    const metadata = getMetadata(path);
    if (metadata) entry.metadata = metadata;
  }
  return entry;
}

function resolveLink(path: string, entry: EntryInfo): Stats | undefined {
  entry.symlinkTarget = path;
  try {
    entry.symlinkTarget = realpathSync(path);
    return statSync(path);
  } catch {
    return undefined; // it leads nowhere
  }
}

function typeOf(stat: Stats): EntryInfo['type'] {
  if (stat.isFile()) return 'FILE_TYPE_FILE';
  if (stat.isDirectory()) return 'FILE_TYPE_DIRECTORY';
  return undefined;
}

/** By the file type bits of a mode, the letters that Go's `os.FileMode` prints. */
const TYPE_LETTERS: readonly [number, string][] = [
  [0o100000, ''],
  [0o040000, 'd'],
  [0o120000, 'L'],
  [0o060000, 'D'],
  [0o010000, 'p'],
  [0o140000, 'S'],
  [0o020000, 'Dc'],
];

/** As Go prints a mode: `-rw-r--r--`, `drwxr-xr-x`, `Lrwxrwxrwx`, `dtrwxrwxrwx`. */
export function permissionsOf(mode: number): string {
  const type = TYPE_LETTERS.find(([bits]) => bits === (mode & 0o170000))?.[1] ?? '';
  const u = mode & 0o4000 ? 'u' : '';
  const g = mode & 0o2000 ? 'g' : '';
  const sticky = mode & 0o1000 ? 't' : '';
  const prefix = type === 'Dc' ? `D${u}${g}c${sticky}` : `${type}${u}${g}${sticky}`;
  let bits = '';
  for (let index = 8; index >= 0; index--) bits += mode & (1 << index) ? 'rwx'[(8 - index) % 3] : '-';
  return (prefix || '-') + bits;
}
