import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { archiveTree } from './archive-tree.ts';
import type { ImageLayer } from './image-source.ts';
import type { Tree } from './tree.ts';

const TAR_ARGS = [
  '--extract',
  '--file=-',
  '--blocking-factor=256',
  '--preserve-permissions',
  '--numeric-owner',
  '--same-owner',
  '--xattrs',
  '--xattrs-include=*',
  '--absolute-names',
  '--delay-directory-restore',
];

/** Small writes would cost a switch between two processes each. */
const BATCH_BYTES = 256 * 1024;

/**
 * Writes the tree into an empty folder, with owners, modes, times, attributes and devices; needs root.
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
  const child = spawn('tar', [...TAR_ARGS, `--directory=${folder}`], {
    stdio: ['pipe', 'ignore', 'pipe'],
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
  const sent = pipeline(Readable.from(inBatches(archiveTree(op, tree, layers))), child.stdin, {
    signal: op.signal,
  }).catch((caught: NodeJS.ErrnoException) => {
    if (caught.code === 'EPIPE' || caught.code === 'ECONNRESET') return; // tar has gone, and says why
    child.kill('SIGKILL');
    throw caught;
  });
  const [archive, tar] = await Promise.allSettled([sent, ended]);
  if (archive.status === 'rejected') throw archive.reason;
  if (tar.status === 'rejected') throw SandboxError.from(tar.reason);
  if (tar.value !== 0) throw explain(tar.value, log);
}

async function* inBatches(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let batch: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    batch.push(chunk);
    size += chunk.length;
    if (size < BATCH_BYTES) continue;
    yield Buffer.concat(batch);
    batch = [];
    size = 0;
  }
  yield Buffer.concat(batch);
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
