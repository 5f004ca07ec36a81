import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { ImageLayer } from './image-source.ts';
import { readLayer } from './scan.ts';
import type { TarEntry } from './tar/entry.ts';
import { TAR_END, tarHeader, tarPadding } from './tar/write.ts';
import { eachPath, type FileNode, type Node, type Tree } from './tree.ts';

type Placed<T extends Node> = { path: string; node: T };

/**
 * The tree as one tar archive, in an order in which it can be unpacked member by member: folders before what
 * is in them, hard links after what they link to. Content comes from the layers, each read once from its start.
 */
export async function* archiveTree(
  op: Operation,
  tree: Tree,
  layers: readonly ImageLayer[],
): AsyncGenerator<Buffer> {
  const { atHand, inLayers, links } = sortNodes(tree);
  for (const { path, node } of atHand) {
    yield tarHeader(toEntry(path, node));
    if (node.type === 'file' && Buffer.isBuffer(node.content)) {
      yield node.content;
      yield tarPadding(node.size);
    }
  }
  for (const [layer, files] of inLayers) {
    let member = 0;
    for await (const { entry, content } of readLayer(op, layers, layer)) {
      const file = files.get(member++);
      if (!file) continue;
      if (entry.size !== file.node.size) {
        throw new SandboxError('internal', `layer ${layer + 1} changed while it was read`);
      }
      yield tarHeader(toEntry(file.path, file.node));
      yield* content;
      yield tarPadding(entry.size);
    }
  }
  for (const { path, target } of links) {
    const entry = toEntry(path, target.node);
    yield tarHeader({ ...entry, type: 'hardlink', size: 0, target: `./${target.path}` });
  }
  yield TAR_END;
}

/** What needs no layer, what each layer has to give, and the further names of nodes that have one already. */
function sortNodes(tree: Tree) {
  const atHand: Placed<Node>[] = [{ path: '', node: tree.root }];
  const inLayers = new Map<number, Map<number, Placed<FileNode>>>();
  const links: { path: string; target: Placed<Node> }[] = [];
  const seen = new Map<Node, Placed<Node>>();
  for (const { path, node } of eachPath(tree.root)) {
    const target = seen.get(node);
    if (target) {
      links.push({ path, target });
      continue;
    }
    if (node.type !== 'directory') seen.set(node, { path, node });
    if (node.type !== 'file' || Buffer.isBuffer(node.content)) {
      atHand.push({ path, node });
      continue;
    }
    const { layer, member } = node.content;
    const files = inLayers.get(layer) ?? new Map<number, Placed<FileNode>>();
    inLayers.set(layer, files.set(member, { path, node }));
  }
  return { atHand, inLayers, links };
}

function toEntry(path: string, node: Node): TarEntry {
  return {
    path: node.type === 'directory' ? `./${path}/` : `./${path}`,
    type: node.type,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    mtime: node.mtime,
    size: node.type === 'file' ? node.size : 0,
    target: 'target' in node ? node.target : '',
    device: 'device' in node ? node.device : { major: 0, minor: 0 },
    xattrs: node.xattrs,
  };
}
