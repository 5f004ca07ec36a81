import { createHash } from 'node:crypto';
import type { Operation } from '@sandbox-backend/kit';
import { type CachedLayout, findLayout, imageFolder, storeLayout } from '../cache.ts';
import { pinned, type Reference, withTag } from '../reference.ts';
import type { ResolveOptions } from '../resolve.ts';
import { copyImage, PLATFORM, skopeo } from './skopeo.ts';

type RegistryReference = Extract<Reference, { kind: 'registry' }>;

/**
 * Fetches an image from its registry, unless the registry's digest says that the cache has it already.
 * With `noPull` the network is left alone: the cache, else a Docker daemon on this host.
 */
export async function fromRegistry(
  op: Operation,
  reference: RegistryReference,
  options: ResolveOptions,
): Promise<CachedLayout> {
  const folder = imageFolder(options.cacheDir, reference.name);
  const cached = await findLayout(folder);
  if (options.noPull) return cached ?? fromDaemon(op, reference, options);
  const digest = await op.phase('ask registry', () => askDigest(op, reference, options));
  if (cached?.version === digest && !options.refresh) return cached;
  return op.phase('pull', () =>
    storeLayout(folder, { reference: reference.name, version: digest }, async (layout) => {
      // Pinned: what arrives is what was asked about, even if the tag moves in between.
      const source = `docker://${pinned(reference.name, digest)}`;
      const args = [`--src-tls-verify=${!reference.plainHttp}`, ...authArgs(options)];
      await copyImage(op, source, layout, { ...options, from: 'registry', args });
    }),
  );
}

async function askDigest(
  op: Operation,
  reference: RegistryReference,
  options: ResolveOptions,
): Promise<string> {
  const manifest = await skopeo(
    op,
    [
      ...PLATFORM,
      'inspect',
      '--raw',
      `--tls-verify=${!reference.plainHttp}`,
      ...authArgs(options),
      `docker://${reference.name}`,
    ],
    { reference: options.reference, from: 'registry' },
  );
  return `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
}

async function fromDaemon(
  op: Operation,
  { name }: RegistryReference,
  options: ResolveOptions,
): Promise<CachedLayout> {
  const source = `docker-daemon:${withTag(name)}`;
  const folder = imageFolder(options.cacheDir, source);
  return op.phase('copy from Docker', () =>
    storeLayout(folder, { reference: source, version: 'daemon' }, (layout) =>
      copyImage(op, source, layout, { ...options, from: 'daemon' }),
    ),
  );
}

const authArgs = ({ authFile }: ResolveOptions) => (authFile ? [`--authfile=${authFile}`] : []);
