import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline, type Readable, Transform } from 'node:stream';
import { SandboxError } from '@sandbox-backend/protocol';
import type * as z from 'zod';
import type { ImageConfig, ImageSource } from '../image-source.ts';
import { blobPath, configSchema, indexSchema, MEDIA_TYPES, manifestSchema } from './oci.ts';

const JSON_LIMIT = 8 * 1024 * 1024;

/**
 * Opens the image of an OCI layout. Manifest and configuration are checked against their digests here,
 * the layers while they are read.
 *
 * Errors: `invalid_argument` when the layout is not one, or its content is not what the digests say.
 */
export async function openLayout(
  layout: string,
  options: { name: string; isBase: boolean },
): Promise<ImageSource> {
  const index = await readJson(join(layout, 'index.json'), indexSchema, options.name);
  const [first] = index.manifests;
  if (!first || index.manifests.length > 1 || first.mediaType === MEDIA_TYPES.index) {
    throw new SandboxError('invalid_argument', `${options.name} has several images and does not say which`);
  }
  const manifest = await readBlob(layout, first.digest, manifestSchema, options.name);
  const config = await readBlob(layout, manifest.config.digest, configSchema, options.name);
  return {
    digest: first.digest,
    isBase: options.isBase,
    config: toConfig(config),
    layers: manifest.layers.map(({ mediaType, digest, size }) => ({
      mediaType,
      digest,
      size,
      open: () => openVerified(blobPath(layout, digest), digest, options.name),
    })),
  };
}

function openVerified(path: string, digest: string, name: string): Readable {
  const hash = createHash('sha256');
  const verify = new Transform({
    transform(chunk, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
    flush(done) {
      done(`sha256:${hash.digest('hex')}` === digest ? null : damaged(name, digest));
    },
  });
  return pipeline(createReadStream(path, { highWaterMark: 256 * 1024 }), verify, () => {});
}

async function readBlob<T>(layout: string, digest: string, schema: z.ZodType<T>, name: string): Promise<T> {
  return readJson(blobPath(layout, digest), schema, name, digest);
}

async function readJson<T>(path: string, schema: z.ZodType<T>, name: string, digest?: string): Promise<T> {
  try {
    if ((await stat(path)).size > JSON_LIMIT) throw new Error('it is too large');
    const data = await readFile(path);
    if (digest && `sha256:${createHash('sha256').update(data).digest('hex')}` !== digest) {
      throw damaged(name, digest);
    }
    return schema.parse(JSON.parse(data.toString('utf8')));
  } catch (caught) {
    if (caught instanceof SandboxError) throw caught;
    throw new SandboxError('invalid_argument', `${name} is not a sound image: ${(caught as Error).message}`, {
      cause: caught,
      hint: 'Fetch it again with --refresh.',
    });
  }
}

function damaged(name: string, digest: string): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `${name} is damaged: ${digest} has other content than its name says`,
    {
      hint: 'Fetch it again with --refresh.',
    },
  );
}

function toConfig({ config }: z.infer<typeof configSchema>): ImageConfig {
  const env = (config?.Env ?? []).map((line) => {
    const equals = line.indexOf('=');
    return equals < 0 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 1)];
  });
  return {
    env: Object.fromEntries(env.filter(([name]) => name)),
    user: config?.User ?? '',
    workdir: config?.WorkingDir ?? '',
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
  };
}
