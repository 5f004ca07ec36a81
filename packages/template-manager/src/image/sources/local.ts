import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { type CachedLayout, findLayout, imageFolder, storeLayout } from '../cache.ts';
import type { Reference } from '../reference.ts';
import type { ResolveOptions } from '../resolve.ts';
import { copyImage } from './skopeo.ts';

type LocalReference = Extract<Reference, { kind: 'local' }>;

/**
 * Takes an image from a file or folder on this host into the cache, unless it is there unchanged.
 * Errors: `not_found` when there is no such file, `invalid_argument` when it is not a complete image.
 */
export async function fromLocal(
  op: Operation,
  reference: LocalReference,
  options: ResolveOptions,
): Promise<CachedLayout> {
  const version = await fileVersion(reference, options.reference);
  const transport =
    reference.transport === 'tar' ? await detectArchive(op, reference.path) : reference.transport;
  const source = [transport, reference.path, reference.image].filter((part) => part !== '').join(':');
  const folder = imageFolder(options.cacheDir, source);
  const cached = await findLayout(folder);
  if (cached?.version === version && !options.refresh) return cached;
  return op.phase('copy image', () =>
    storeLayout(folder, { reference: source, version }, (layout) =>
      copyImage(op, source, layout, { ...options, from: 'file' }),
    ),
  );
}

/** Changes whenever the content may have: size and time of an archive, the index of a layout. */
async function fileVersion({ transport, path }: LocalReference, name: string): Promise<string> {
  try {
    if (transport === 'oci') return await readFile(join(path, 'index.json'), 'utf8');
    const { size, mtimeMs, ino } = await stat(path);
    return `${size} ${mtimeMs} ${ino}`;
  } catch (cause) {
    throw new SandboxError('not_found', `the image ${name} is not there: ${(cause as Error).message}`, {
      cause,
      hint: 'Check the path; it is a path on the host that builds.',
    });
  }
}

/** What `docker save` wrote, or an OCI archive: Docker since version 25 writes a file that is both. */
async function detectArchive(op: Operation, path: string): Promise<'docker-archive' | 'oci-archive'> {
  const { stdout } = await run('tar', ['-tf', path], { signal: op.signal }).catch((caught) => {
    const error = SandboxError.from(caught);
    if (error.code !== 'internal') throw error;
    throw new SandboxError('invalid_argument', `${path} is not a complete tar archive`, {
      cause: caught,
      ...(error.log ? { log: error.log } : {}),
      hint: 'Write it again with docker save or skopeo copy.',
    });
  });
  const names = new Set(stdout.split('\n').map((name) => name.replace(/^\.\//, '')));
  if (names.has('manifest.json')) return 'docker-archive';
  if (names.has('oci-layout')) return 'oci-archive';
  throw new SandboxError('invalid_argument', `${path} has no image in it`, {
    hint: 'It needs a manifest.json (docker save) or an oci-layout; a plain root file system is not an image.',
  });
}
