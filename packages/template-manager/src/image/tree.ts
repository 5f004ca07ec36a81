import { SandboxError } from '@sandbox-backend/protocol';
import { NO_XATTRS, type TarEntry, toText } from './tar/entry.ts';

type Common = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime' | 'xattrs'>;

export type DirectoryNode = Common & { type: 'directory'; children: Map<string, Node> };

export type FileNode = Common & {
  type: 'file';
  size: number;
  /** The content itself, or the member of a layer that has it. */
  content: Buffer | ContentRef;
};

export type ContentRef = { layer: number; member: number };

export type OtherNode = Common &
  Pick<TarEntry, 'target' | 'device'> & {
    type: 'symlink' | 'char-device' | 'block-device' | 'fifo';
  };

/**
 * A file system's content: what an inode is. Hard links are one node under several names.
 * A node below a directory is reached by that directory alone, so no path can lead out of the tree.
 */
export type Node = DirectoryNode | FileNode | OtherNode;

export type Tree = { root: DirectoryNode; limits: TreeLimits; nodes: number };

export type TreeLimits = { nodes: number; pathBytes: number };

export const TREE_LIMITS: TreeLimits = { nodes: 2_000_000, pathBytes: 4096 };

/** How the names begin by which a layer hides what lies below it; nothing else is called so. */
export const WHITEOUT = '.wh.';

const NAME_BYTES = 255;
const SYMLINK_HOPS = 255;
const RESOLVE_STEPS = 16_384;

export function emptyTree(limits: TreeLimits = TREE_LIMITS): Tree {
  return { root: makeDirectory(), limits, nodes: 1 };
}

export function makeDirectory(fields: Partial<Common> = {}): DirectoryNode {
  return {
    type: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
    xattrs: NO_XATTRS,
    ...fields,
    children: new Map(),
  };
}

export function makeFile(content: string | Buffer, fields: Partial<Common> = {}): FileNode {
  const data = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  return {
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    xattrs: NO_XATTRS,
    ...fields,
    size: data.length,
    content: data,
  };
}

/**
 * The components of a path below the root; `/a//./b` is `a/b`, and the root itself is none.
 * Errors: `invalid_argument` for a component `..`, a zero byte, or too long a path or name.
 */
export function splitPath(path: string, limits: TreeLimits = TREE_LIMITS): string[] {
  const shown = JSON.stringify(toText(path.slice(0, 200)));
  if (path.length > limits.pathBytes)
    throw invalid(`the path ${shown}… is longer than ${limits.pathBytes} bytes`);
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw invalid(`the path ${shown} leads out of the image`);
  if (path.includes('\0')) throw invalid(`the path ${shown} has a zero byte`);
  if (names.some((name) => name.length > NAME_BYTES)) {
    throw invalid(`the path ${shown} has a name longer than ${NAME_BYTES} bytes`);
  }
  return names;
}

/** The node at a path whose last component is not followed; its parents may be symbolic links, which stay in the tree. */
export function lookUp(tree: Tree, names: readonly string[]): Node | undefined {
  const last = names.at(-1);
  if (last === undefined) return tree.root;
  return walk(tree, names.slice(0, -1), { make: false })?.children.get(last);
}

/** The directory at a path, through symbolic links inside the tree. */
export function findDirectory(tree: Tree, names: readonly string[]): DirectoryNode | undefined {
  return walk(tree, names, { make: false });
}

/**
 * The directory at a path; what is missing of it is made, and a file in its way is replaced.
 * Symbolic links are followed as if the tree's root were `/`.
 */
export function makeParents(tree: Tree, names: readonly string[]): DirectoryNode {
  return walk(tree, names, { make: true }) ?? tree.root;
}

/** Puts a node under a name, and counts it. Errors: `invalid_argument` beyond the limit of nodes. */
export function place(tree: Tree, parent: DirectoryNode, name: string, node: Node): void {
  if (++tree.nodes > tree.limits.nodes) throw invalid(`it has more than ${tree.limits.nodes} files`);
  parent.children.set(name, node);
}

/** The node at a path, following symbolic links also at its end. */
export function followPath(tree: Tree, path: string): Node | undefined {
  let names = splitPath(path, tree.limits);
  for (let hops = 0; hops < SYMLINK_HOPS; hops++) {
    const node = lookUp(tree, names);
    if (node?.type !== 'symlink') return node;
    const base = node.target.startsWith('/') ? [] : names.slice(0, -1);
    names = [];
    // Lexical: exact but for a target with `..` behind a linked folder, which no image's own files have.
    for (const name of [...base, ...node.target.split('/')]) {
      if (name === '..') names.pop();
      else if (name !== '' && name !== '.') names.push(name);
    }
  }
  return undefined;
}

function walk(tree: Tree, names: readonly string[], { make }: { make: boolean }): DirectoryNode | undefined {
  const pending = names.toReversed();
  const stack = [tree.root];
  let hops = 0;
  for (let steps = 0; pending.length > 0; steps++) {
    if (steps > RESOLVE_STEPS) throw invalid('too many symbolic links lead to one path');
    const name = pending.pop()!;
    const here = stack.at(-1)!;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (stack.length > 1) stack.pop();
      continue;
    }
    const child = here.children.get(name);
    if (child?.type === 'directory') {
      stack.push(child);
    } else if (child?.type === 'symlink') {
      if (++hops > SYMLINK_HOPS) throw invalid('too many symbolic links lead to one path');
      if (child.target.startsWith('/')) stack.length = 1;
      pending.push(...child.target.split('/').reverse());
    } else if (make) {
      if (stack.length * 2 > tree.limits.pathBytes) throw invalid('its folders are nested too deep');
      if (name.startsWith(WHITEOUT))
        throw invalid(`a folder is called ${JSON.stringify(toText(name))}, which hides another file`);
      const made = makeDirectory();
      place(tree, here, name, made);
      stack.push(made);
    } else return undefined;
  }
  return stack.at(-1);
}

/** Every path below the root with its node, parents before their children, in the order of the names. */
export function* eachPath(directory: DirectoryNode, prefix = ''): Generator<{ path: string; node: Node }> {
  const pending: { path: string; node: Node }[] = [];
  const push = (folder: DirectoryNode, under: string) => {
    const names = [...folder.children.keys()].sort().reverse();
    for (const name of names) pending.push({ path: under + name, node: folder.children.get(name)! });
  };
  push(directory, prefix);
  for (let next = pending.pop(); next; next = pending.pop()) {
    yield next;
    if (next.node.type === 'directory') push(next.node, `${next.path}/`);
  }
}

const invalid = (message: string) => new SandboxError('invalid_argument', message);
