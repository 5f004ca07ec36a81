import { spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { ImageLayer } from './image-source.ts';
import { readLayer } from './scan.ts';
import type { TarEntry } from './tar/entry.ts';
import { TAR_END, tarHeader, tarPadding } from './tar/write.ts';
import { eachPath, type FileNode, type Node, type Tree } from './tree.ts';

const TAR_ARGS = [
  '--numeric-owner',
  '--same-owner',
  '--xattrs',
  '--xattrs-include=*',
  '--delay-directory-restore',
];

/**
 * Writes the tree into an empty folder, with owners, modes, times, attributes and devices; needs root. The
 * content comes from the layers, each read once more from its start.
 *
 * Safe for hostile images: what GNU tar gets is our own archive, in which every parent is a folder that the
 * archive made before, so no member can leave the folder.
 *
 * Errors: `no_space`; `invalid_argument` when a layer is not what it was.
 */
export async function writeTree(
  op: Operation,
  tree: Tree,
  layers: readonly ImageLayer[],
  folder: string,
): Promise<void> {
  const args = [
    '--extract',
    '--preserve-permissions',
    '--absolute-names',
    ...TAR_ARGS,
    '--file=-',
    `--directory=${folder}`,
  ];
  const child = spawn('tar', args, {
    stdio: ['pipe', 'ignore', 'pipe'],
    signal: op.signal,
    killSignal: 'SIGKILL',
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-4000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  ended.catch(() => {});
  child.stdin.on('error', () => {}); // tar's own words tell
  try {
    await writeArchive(op, tree, layers, child.stdin);
    child.stdin.end();
  } catch (caught) {
    child.stdin.destroy();
    if (!(caught instanceof Closed)) child.kill('SIGKILL');
    await ended.catch(() => {});
    if (!(caught instanceof Closed)) throw caught;
  }
  const status = await ended;
  if (status !== 0) throw explain(status, log);
}

/** The reader of the archive has gone. */
class Closed extends Error {}

async function writeArchive(
  op: Operation,
  tree: Tree,
  layers: readonly ImageLayer[],
  out: Writable,
): Promise<void> {
  const send = (data: Buffer) => write(out, data);
  const { wanted, links } = await writeWithoutContent(tree, send);
  for (const [layer] of layers.entries()) {
    const members = wanted.get(layer);
    if (!members) continue;
    let member = 0;
    for await (const { entry, content } of readLayer(op, layers, layer)) {
      const file = members.get(member++);
      if (!file) continue;
      if (entry.size !== file.node.size)
        throw new SandboxError('internal', 'a layer changed while it was read');
      await send(tarHeader(toEntry(file.path, file.node)));
      for await (const chunk of content) await send(chunk);
      await send(tarPadding(entry.size));
    }
  }
  for (const { path, target } of links)
    await send(
      tarHeader({ ...toEntry(path, target.node), type: 'hardlink', size: 0, target: `./${target.path}` }),
    );
  await send(TAR_END);
}

type Placed<T extends Node> = { path: string; node: T };

/** Writes all that needs no layer, folders before what is in them; returns what is to come. */
async function writeWithoutContent(tree: Tree, send: (data: Buffer) => Promise<void>) {
  const wanted = new Map<number, Map<number, Placed<FileNode>>>();
  const links: { path: string; target: Placed<Node> }[] = [];
  const seen = new Map<Node, Placed<Node>>();
  await send(tarHeader(toEntry('', tree.root)));
  for (const { path, node } of eachPath(tree.root)) {
    const first = seen.get(node);
    if (first) {
      links.push({ path, target: first });
      continue;
    }
    seen.set(node, { path, node });
    if (node.type !== 'file' || Buffer.isBuffer(node.content)) {
      await send(tarHeader(toEntry(path, node)));
      if (node.type === 'file' && Buffer.isBuffer(node.content)) {
        await send(Buffer.concat([node.content, tarPadding(node.size)]));
      }
      continue;
    }
    const { layer, member } = node.content;
    if (!wanted.has(layer)) wanted.set(layer, new Map());
    wanted.get(layer)!.set(member, { path, node });
  }
  return { wanted, links };
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

async function write(out: Writable, data: Buffer): Promise<void> {
  if (out.destroyed) throw new Closed();
  if (data.length === 0 || out.write(data)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  out.once('drain', resolve).once('close', resolve);
  await promise;
  out.off('drain', resolve).off('close', resolve);
  if (out.destroyed) throw new Closed();
}

function explain(status: number | null, log: string): SandboxError {
  // GNU tar reports the write that filled the disk as a short one.
  if (/No space left on device|Disk quota exceeded|Wrote only \d+ of \d+ bytes/.test(log)) {
    return new SandboxError('no_space', 'the image does not fit on the disk when it is unpacked', {
      log,
      hint: 'Free space on the disk of the data folder and try again.',
    });
  }
  return new SandboxError('internal', `the image could not be unpacked: tar ended with ${status}`, { log });
}
