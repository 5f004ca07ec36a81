import type { Operation } from '@sandbox-backend/kit';
import type { CachedLayout } from './cache.ts';
import type { ImageSource } from './image-source.ts';
import { openLayout } from './layout/open.ts';
import { parseReference, type Reference } from './reference.ts';
import { fromDebian } from './sources/debian.ts';
import { fromLocal } from './sources/local.ts';
import { fromRegistry } from './sources/registry.ts';

export type ResolveOptions = {
  /** As the user wrote it; see `parseReference`. */
  reference: string;
  /** Leave the network alone: only what this host has. */
  noPull: boolean;
  /** Credentials for registries, in the format of `docker login`. */
  authFile?: string;
  cacheDir: string;
  /** Fetch again, whatever the cache holds. */
  refresh: boolean;
  /** Gets what the fetching program says, in pieces. */
  onProgress?: (text: string) => void;
};

/**
 * Brings an image onto this host and opens it.
 *
 * Errors say the reference and what to do: `invalid_argument`, `not_found`, `permission_denied`, `unavailable`,
 * `no_space`, and `failed_precondition` when `noPull` leaves no way to it.
 */
export async function resolveImage(op: Operation, options: ResolveOptions): Promise<ImageSource> {
  const reference = parseReference(options.reference);
  const { layout } = await bring(op, reference, options);
  return openLayout(layout, { name: `the image ${options.reference}`, isBase: reference.kind === 'base' });
}

function bring(op: Operation, reference: Reference, options: ResolveOptions): Promise<CachedLayout> {
  if (reference.kind === 'base') return fromDebian(op, reference, options);
  if (reference.kind === 'local') return fromLocal(op, reference, options);
  return fromRegistry(op, reference, options);
}
