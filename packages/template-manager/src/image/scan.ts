import { PassThrough, pipeline, type Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { LayerEntry } from './flatten.ts';
import type { ImageLayer } from './image-source.ts';
import type { TarEntry } from './tar/entry.ts';
import { readTar, TarError } from './tar/read.ts';

export type ScanLimits = { entries: number; unpackedBytes: number; metadataBytes: number };

export const SCAN_LIMITS: ScanLimits = {
  entries: 2_000_000,
  unpackedBytes: 64 * 1024 ** 3,
  metadataBytes: 512 * 1024 ** 2,
};

const KEPT_NAME = /(?:^|[/-])(?:passwd|group|shadow|profile|\.profile|\.bashrc|\.bash_logout)$/;
const KEPT_BYTES = 256 * 1024;
const ALL_KEPT_BYTES = 16 * 1024 ** 2;

/**
 * Reads what the layers have, without their content but for the small files that we edit.
 * Errors: `invalid_argument` for a broken or truncated layer, and for an image beyond the limits.
 */
export async function scanLayers(
  op: Operation,
  layers: readonly ImageLayer[],
  limits: ScanLimits = SCAN_LIMITS,
): Promise<LayerEntry[][]> {
  const left = { ...limits, kept: ALL_KEPT_BYTES };
  const scanned: LayerEntry[][] = [];
  for (const [layer] of layers.entries()) {
    const entries: LayerEntry[] = [];
    for await (const { entry, content } of readLayer(op, layers, layer)) {
      left.entries--;
      left.unpackedBytes -= entry.size;
      left.metadataBytes -= metadataSize(entry);
      if (left.entries < 0) throw tooLarge(`more than ${limits.entries} files`);
      if (left.unpackedBytes < 0) throw tooLarge(`more than ${limits.unpackedBytes} bytes`);
      if (left.metadataBytes < 0) throw tooLarge('too many names and attributes');
      const member = entries.length;
      if (
        entry.type === 'file' &&
        entry.size <= Math.min(KEPT_BYTES, left.kept) &&
        KEPT_NAME.test(entry.path)
      ) {
        left.kept -= entry.size;
        entries.push({ ...entry, member, data: await readAll(content) });
      } else {
        entries.push({ ...entry, member });
      }
    }
    scanned.push(entries);
  }
  return scanned;
}

/**
 * The members of one layer, decompressed as its first bytes say. When the last was read, the whole layer
 * was, and its digest was right.
 */
export async function* readLayer(
  op: Operation,
  layers: readonly ImageLayer[],
  layer: number,
): AsyncGenerator<{ entry: TarEntry; content: AsyncGenerator<Buffer> }> {
  const { open, digest } = layers[layer]!;
  const source = open();
  const abort = () => source.destroy(op.signal.reason);
  op.signal.addEventListener('abort', abort, { once: true });
  try {
    op.signal.throwIfAborted();
    yield* readTar(await decompress(source));
    await readToEnd(source);
  } catch (caught) {
    throw op.signal.aborted ? caught : broken(caught, layer, digest);
  } finally {
    op.signal.removeEventListener('abort', abort);
    source.destroy();
  }
}

/** What follows a compressed archive is not decompressed, but it belongs to the digest. */
async function readToEnd(source: Readable): Promise<void> {
  source.unpipe();
  source.resume();
  await finished(source);
}

async function decompress(source: Readable): Promise<Readable> {
  const first = await firstBytes(source);
  const unpack =
    first.subarray(0, 2).toString('hex') === '1f8b'
      ? createGunzip()
      : first.subarray(0, 4).toString('hex') === '28b52ffd'
        ? createZstdDecompress()
        : new PassThrough();
  return pipeline(source, unpack, () => {});
}

async function firstBytes(source: Readable): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  source.once('error', reject);
  source.once('end', () => resolve(Buffer.alloc(0)));
  source.once('readable', () => {
    const chunk: Buffer | null = source.read();
    if (chunk) source.unshift(chunk);
    resolve(chunk ?? Buffer.alloc(0));
  });
  return promise;
}

async function readAll(content: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function metadataSize({ path, target, xattrs }: TarEntry): number {
  return [...xattrs].reduce(
    (sum, [name, value]) => sum + name.length + value.length,
    path.length + target.length,
  );
}

function broken(caught: unknown, layer: number, digest: string): SandboxError {
  const code = (caught as NodeJS.ErrnoException).code ?? '';
  if (!(caught instanceof TarError) && !/^(Z_|ERR_ZSTD|ZSTD_|ERR_TRAILING)/.test(code))
    return SandboxError.from(caught);
  return new SandboxError(
    'invalid_argument',
    `the image cannot be unpacked: layer ${layer + 1} (${digest}) is broken: ${(caught as Error).message}`,
    { cause: caught, hint: 'Build the image again.' },
  );
}

function tooLarge(what: string): SandboxError {
  return new SandboxError('invalid_argument', `the image is too large to unpack: it has ${what}`, {
    hint: 'Use a smaller image.',
  });
}
