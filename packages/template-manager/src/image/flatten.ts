import { SandboxError } from '@sandbox-backend/protocol';
import { type TarEntry, toText } from './tar/entry.ts';
import {
  type DirectoryNode,
  emptyTree,
  findDirectory,
  lookUp,
  makeDirectory,
  makeParents,
  type Node,
  place,
  splitPath,
  type Tree,
  type TreeLimits,
  WHITEOUT,
} from './tree.ts';

/** A member of a layer: its place in the layer, and its content where that was kept. */
export type LayerEntry = TarEntry & { member: number; data?: Buffer };

const OPAQUE = '.wh..wh..opq';
/** What Linux can represent; the last user and group number means "none". */
const MAX = { id: 2 ** 32 - 2, target: 4095, major: 2 ** 12 - 1, minor: 2 ** 20 - 1 };

/**
 * Lays the layers over each other, lowest first, and returns the file system that results: what a
 * container of the image would see. Pure: content stays where it is and is referred to.
 *
 * Errors: `invalid_argument`, naming layer and path, for what no honest image has: a path with `..`, a hard
 * link to nothing, a tree beyond the limits.
 */
export function flatten(layers: Iterable<readonly LayerEntry[]>, limits?: TreeLimits): Tree {
  const tree = emptyTree(limits);
  let layer = 0;
  for (const entries of layers) applyLayer(tree, entries, layer++);
  return tree;
}

/** Lays one more layer over the tree. Its whiteouts hide what is below, never what it brings itself. */
export function applyLayer(tree: Tree, entries: readonly LayerEntry[], layer: number): void {
  for (const entry of entries) {
    if (isWhiteout(entry)) naming(layer, entry, () => hide(tree, entry.path));
  }
  for (const entry of entries) {
    if (!isWhiteout(entry)) naming(layer, entry, () => bring(tree, entry, layer));
  }
}

const isWhiteout = (entry: LayerEntry) => baseName(entry.path).startsWith(WHITEOUT);

function hide(tree: Tree, path: string): void {
  const names = splitPath(path, tree.limits);
  const name = names.pop()!;
  const folder = findDirectory(tree, names);
  if (name === OPAQUE) folder?.children.clear();
  if (name.startsWith(`${WHITEOUT}${WHITEOUT}`)) return; // bookkeeping of AUFS
  const hidden = name.slice(WHITEOUT.length);
  if (['', '.', '..'].includes(hidden))
    throw new SandboxError('invalid_argument', 'a whiteout names no file');
  folder?.children.delete(hidden);
}

function bring(tree: Tree, entry: LayerEntry, layer: number): void {
  const names = splitPath(entry.path, tree.limits);
  const name = names.pop();
  if (name === undefined) {
    if (entry.type !== 'directory') throw new SandboxError('invalid_argument', 'the root is not a folder');
    setOwnFields(tree.root, entry);
    return;
  }
  // Found before the name is taken: the target may lie under it, or be it.
  const linked = entry.type === 'hardlink' ? linkTarget(tree, entry) : undefined;
  const parent = makeParents(tree, names);
  const present = parent.children.get(name);
  if (entry.type === 'directory' && present?.type === 'directory') setOwnFields(present, entry);
  else place(tree, parent, name, linked ?? toNode(entry, layer));
}

function linkTarget(tree: Tree, entry: LayerEntry): Node {
  const target = lookUp(tree, splitPath(entry.target, tree.limits));
  if (target && target.type !== 'directory') return target;
  throw new SandboxError(
    'invalid_argument',
    `it is a hard link to ${JSON.stringify(toText(entry.target))}, which is ${target ? 'a folder' : 'not there'}`,
  );
}

function toNode(entry: LayerEntry, layer: number): Node {
  checkFields(entry);
  const { mode, uid, gid, mtime, xattrs } = entry;
  const common = { mode, uid, gid, mtime, xattrs };
  if (entry.type === 'directory') return makeDirectory(common);
  if (entry.type === 'file') {
    const content = entry.data ?? { layer, member: entry.member };
    return { ...common, type: 'file', size: entry.size, content };
  }
  if (entry.type === 'hardlink') throw new SandboxError('internal', 'a hard link has no content of its own');
  return { ...common, type: entry.type, target: entry.target, device: entry.device };
}

/** What the host could not write is refused here, where the layer and the path are known. */
function checkFields({ type, uid, gid, target, device }: LayerEntry): void {
  for (const [what, value, max] of [
    ['user', uid, MAX.id],
    ['group', gid, MAX.id],
    ...(type.endsWith('-device')
      ? ([
          ['device', device.major, MAX.major],
          ['device', device.minor, MAX.minor],
        ] as const)
      : []),
  ] as const) {
    if (!Number.isInteger(value) || value < 0 || value > max) {
      throw new SandboxError('invalid_argument', `it has the impossible ${what} number ${value}`);
    }
  }
  if (type === 'symlink' && (target === '' || target.length > MAX.target || target.includes('\0'))) {
    throw new SandboxError('invalid_argument', 'it is a symbolic link without a possible target');
  }
}

function setOwnFields(node: DirectoryNode, entry: LayerEntry): void {
  checkFields(entry);
  const { mode, uid, gid, mtime, xattrs } = entry;
  Object.assign(node, { mode, uid, gid, mtime, xattrs });
}

function baseName(path: string): string {
  let end = path.length;
  while (path[end - 1] === '/') end--;
  return path.slice(path.lastIndexOf('/', end - 1) + 1, end);
}

function naming<T>(layer: number, entry: LayerEntry, step: () => T): T {
  try {
    return step();
  } catch (caught) {
    const error = SandboxError.from(caught);
    const path = JSON.stringify(toText(entry.path.slice(0, 200)));
    throw new SandboxError(
      error.code,
      `the image cannot be unpacked: layer ${layer + 1}, ${path}: ${error.message}`,
      {
        cause: caught,
        hint: 'Build the image again; an image from docker, podman or buildah never has this.',
      },
    );
  }
}
