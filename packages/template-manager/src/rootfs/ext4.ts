import { open } from 'node:fs/promises';
import { type Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Node, Tree } from '../image/tree.ts';

const MIB = 1024 ** 2;
const BLOCK = 4096;
const GROWTH = 1.15;
const ATTEMPTS = 4;

/** What a tree takes in an ext4. */
export type Usage = { bytes: number; inodes: number };

export function measureTree(tree: Tree): Usage {
  const seen = new Set<Node>();
  const pending: Node[] = [tree.root];
  let bytes = 0;
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.type === 'file') bytes += blocks(node.size);
    if (node.type === 'symlink' && node.target.length >= 60) bytes += BLOCK;
    if (node.xattrs.size > 0) bytes += BLOCK;
    if (node.type !== 'directory') continue;
    const names = [...node.children.keys()].reduce((sum, name) => sum + name.length + 12, 24);
    bytes += blocks(names * 1.3);
    pending.push(...node.children.values());
  }
  return { bytes, inodes: seen.size };
}

const blocks = (size: number) => Math.ceil(size / BLOCK) * BLOCK;

/**
 * Makes an ext4 image, as a sparse file that is on the disk when this returns.
 *
 * With `freeMib`, that much is free in it beside the content, and it has a journal. Without, it is packed:
 * just as large as the content needs, and without a journal, because it is only ever mounted read-only.
 *
 * Errors: `no_space` when the host's disk is full.
 */
export async function makeExt4(
  op: Operation,
  file: string,
  options: { content?: { folder: string; usage: Usage }; freeMib?: number },
): Promise<void> {
  const { content, freeMib } = options;
  const usage = content?.usage ?? { bytes: 0, inodes: 16 };
  let size = freeMib === undefined ? packedSize(usage) : roomySize(usage, freeMib * MIB);
  for (let attempt = 1; ; attempt++) {
    const inodes = Math.max(freeMib === undefined ? 0 : size / 16_384, usage.inodes * 1.05) + 64;
    try {
      await run(
        'mkfs.ext4',
        [
          '-q',
          '-F',
          ...['-m', '0', '-b', String(BLOCK), '-I', '256', '-N', String(Math.ceil(inodes))],
          ...['-O', freeMib === undefined ? '^has_journal,^resize_inode' : 'has_journal,^resize_inode'],
          ...['-E', 'lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0'],
          ...(content ? ['-d', content.folder] : []),
          file,
          `${Math.ceil(size / 1024)}k`,
        ],
        { signal: op.signal, env: { ...process.env, LC_ALL: 'C' } },
      );
      break;
    } catch (caught) {
      if (attempt === ATTEMPTS || !isTooSmall(caught)) throw caught;
      size = roundUp(size * GROWTH);
    }
  }
  await using made = await open(file, 'r+');
  await made.sync();
}

/** The file system was estimated too small; a full host has other words. */
function isTooSmall(caught: unknown): boolean {
  const { log = '' } = SandboxError.from(caught);
  return /Could not allocate (?:block|inode)/.test(log) && !/No space left on device/.test(log);
}

function packedSize({ bytes, inodes }: Usage): number {
  return roundUp((bytes + inodes * 256) * 1.05 + MIB);
}

function roomySize({ bytes, inodes }: Usage, free: number): number {
  const content = bytes * 1.01 + inodes * 256 + free + 4 * MIB;
  // One inode of 256 bytes for each 16 KiB, and the bitmaps of each 128 MiB.
  const withInodes = content / (1 - 1 / 63);
  // Linux keeps a fiftieth, at most 16 MiB, for itself.
  const kept = Math.min(withInodes / 50, 16 * MIB);
  return roundUp(withInodes + kept + journalSize(withInodes));
}

/** As mke2fs chooses it by the size of the file system. */
function journalSize(size: number): number {
  const steps: [below: number, journal: number][] = [
    [128, 4],
    [1024, 16],
    [2048, 32],
    [16_384, 64],
    [32_768, 128],
    [65_536, 256],
  ];
  return (steps.find(([below]) => size < (below - 1) * MIB)?.[1] ?? 1024) * MIB;
}

const roundUp = (size: number) => Math.ceil(size / (2 * MIB)) * 2 * MIB;
