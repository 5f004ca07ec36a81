import { join } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import * as z from 'zod';

export const MEDIA_TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

const descriptor = z.object({
  mediaType: z.string(),
  digest: z.string().regex(DIGEST),
  size: z.number().int().nonnegative(),
});

export const indexSchema = z.object({ manifests: z.array(descriptor).min(1) });

export const manifestSchema = z.object({ config: descriptor, layers: z.array(descriptor).max(1000) });

const texts = z.array(z.string()).nullish();

export const configSchema = z.object({
  config: z
    .object({
      Env: texts,
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      Entrypoint: texts,
      Cmd: texts,
    })
    .nullish(),
});

/** The file of a blob. The digest came from a parsed descriptor, so it is safe in a path. */
export function blobPath(layout: string, digest: string): string {
  if (!DIGEST.test(digest)) throw new SandboxError('invalid_argument', `${digest} is not a sha256 digest`);
  return join(layout, 'blobs', 'sha256', digest.slice('sha256:'.length));
}
