import { SandboxError } from '@sandbox-backend/protocol';
import {
  type DirectoryNode,
  findDirectory,
  followPath,
  lookUp,
  makeDirectory,
  makeFile,
  makeParents,
  type Node,
  place,
  splitPath,
  type Tree,
} from '../image/tree.ts';
import { type Account, addAccount } from './accounts.ts';

/** Raised when the edits change, so that no root file system of the older ones is taken from the cache. */
export const EDITS_VERSION = 1;

/** The gateway of every guest, which answers its DNS queries. */
const NAMESERVER = '169.254.0.22';

const HOSTS = `127.0.0.1\tlocalhost sandbox
::1\tlocalhost ip6-localhost ip6-loopback
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** A date that archivers accept, and one: the same image always gives the same tree. */
export const EDIT_TIME = Date.UTC(2024, 0, 1) / 1000;

/** Mounted over by the guest's first program, so they must be folders themselves. */
const MOUNT_POINTS: [path: string, mode: number][] = [
  ['proc', 0o555],
  ['sys', 0o555],
  ['dev', 0o755],
  ['dev/pts', 0o755],
  ['.envd', 0o755],
];

/**
 * Makes an image's tree fit for a sandbox, in place: the account `user`, name resolution, the folders that
 * are mounted over. Nothing is asked of the image; one from `scratch` gets all that it lacks. Pure.
 */
export function editTree(tree: Tree, options: { isBase: boolean }): Account {
  for (const [path, mode] of MOUNT_POINTS) {
    if (lookUp(tree, splitPath(path))?.type !== 'directory') put(tree, path, makeFolder(mode));
  }
  // mke2fs makes this folder itself.
  if (lookUp(tree, ['lost+found'])?.type !== 'directory') tree.root.children.delete('lost+found');
  for (const path of ['etc', 'run', 'tmp']) ensureFolder(tree, path);
  ensureFolder(tree, 'tmp').mode = 0o1777;
  const account = ensureUser(tree);
  put(tree, 'etc/hosts', makeText(HOSTS));
  put(tree, 'etc/hostname', makeText('sandbox\n'));
  put(tree, 'etc/resolv.conf', makeText(`nameserver ${NAMESERVER}\n`));
  put(tree, 'etc/machine-id', makeText('', 0o444));
  if (options.isBase) speedUpProfile(tree);
  return account;
}

function ensureUser(tree: Tree): Account {
  const read = (path: string) => readAccounts(tree, path);
  const before = {
    passwd: read('etc/passwd') ?? 'root:x:0:0:root:/root:/bin/sh\n',
    group: read('etc/group') ?? 'root:x:0:\n',
    shadow: read('etc/shadow'),
  };
  const shell = followPath(tree, 'bin/bash') ? '/bin/bash' : '/bin/sh';
  const { files, account, isNew } = addAccount(before, { name: 'user', id: 1000, home: '/home/user', shell });
  rewrite(tree, 'etc/passwd', files.passwd);
  rewrite(tree, 'etc/group', files.group);
  if (files.shadow !== undefined) rewrite(tree, 'etc/shadow', files.shadow);
  makeHome(tree, account, isNew);
  own(ensureFolder(tree, 'code'), account);
  if (followPath(tree, 'usr/bin/sudo') || followPath(tree, 'bin/sudo')) {
    put(tree, 'etc/sudoers.d/user', makeText('user ALL=(ALL) NOPASSWD:ALL\n', 0o440));
  }
  return account;
}

/**
 * Errors: `invalid_argument` for a file that was too large to keep or lies under another name: to replace it
 * would take the image's accounts away.
 */
function readAccounts(tree: Tree, path: string): string | undefined {
  const node = followPath(tree, path);
  const content = contentOf(node);
  if (node?.type !== 'file' || content !== undefined) return content;
  throw new SandboxError('invalid_argument', `the image cannot be used: its /${path} cannot be read`, {
    hint: 'Make it an ordinary file of less than 256 KiB.',
  });
}

function makeHome(tree: Tree, account: Account, isNew: boolean): void {
  const names = namesOf(tree, account.home);
  const present = lookUp(tree, names);
  if (present && names.length > 0 && isNew) own(present, account);
  if (present) return;
  const home = ensureFolder(tree, names.join('/'));
  own(home, account);
  for (const [name, node] of findDirectory(tree, ['etc', 'skel'])?.children ?? []) {
    if (contentOf(node) !== undefined) place(tree, home, name, own({ ...node }, account));
  }
}

/** The home of an account is the image's text: one that is no path gets no folder. */
function namesOf(tree: Tree, path: string): string[] {
  try {
    return splitPath(path, tree.limits);
  } catch {
    return [];
  }
}

/** A login shell of Debian's runs `id` for its own number; bash knows it, and a fork costs time in a guest. */
function speedUpProfile(tree: Tree): void {
  const text = contentOf(followPath(tree, 'etc/profile'));
  // biome-ignore lint/suspicious/noTemplateCurlyInString: shell, not JavaScript
  if (text) rewrite(tree, 'etc/profile', text.replace('"$(id -u)"', '"${EUID:-$(id -u)}"'));
}

/** Changes the content of a file, which keeps its owner and mode; one that is missing is made. */
function rewrite(tree: Tree, path: string, content: string): void {
  const present = followPath(tree, path);
  if (present?.type === 'file' && contentOf(present) === content) return;
  const { mode, uid, gid, xattrs } = present?.type === 'file' ? present : makeText('');
  put(tree, path, { ...makeText(content, mode), uid, gid, xattrs });
}

function put(tree: Tree, path: string, node: Node): void {
  const names = splitPath(path, tree.limits);
  const name = names.pop()!;
  place(tree, makeParents(tree, names), name, node);
}

/** The folder at a path: the image's own, or a new one where there is none. */
function ensureFolder(tree: Tree, path: string): DirectoryNode {
  const present = findDirectory(tree, splitPath(path, tree.limits));
  if (present) return present;
  const made = makeFolder(0o755);
  put(tree, path, made);
  return made;
}

const makeText = (content: string, mode = 0o644) => makeFile(content, { mode, mtime: EDIT_TIME });

const makeFolder = (mode: number) => makeDirectory({ mode, mtime: EDIT_TIME });

const own = <T extends Node>(node: T, { uid, gid }: Account): T => Object.assign(node, { uid, gid });

function contentOf(node: Node | undefined): string | undefined {
  return node?.type === 'file' && Buffer.isBuffer(node.content) ? node.content.toString('latin1') : undefined;
}
