import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Operation } from '@sandbox-backend/kit';
import { blobPath, MEDIA_TYPES } from './oci.ts';

export type LayoutConfig = {
  Env?: string[];
  User?: string;
  WorkingDir?: string;
  Entrypoint?: string[];
  Cmd?: string[];
};

/**
 * Makes an OCI layout in an empty folder from tar files, which it moves there; lowest layer first. A compressed one
 * needs its `diffId`, the digest before compression.
 */
export async function writeLayout(
  op: Operation,
  layout: string,
  options: {
    layers: { path: string; mediaType?: string; diffId?: string }[];
    config?: LayoutConfig;
    architecture: string;
  },
): Promise<void> {
  await mkdir(join(layout, 'blobs', 'sha256'), { recursive: true });
  const layers = [];
  const diffIds: string[] = [];
  for (const { path, mediaType, diffId } of options.layers) {
    const digest = await digestOf(op, path);
    const { size } = await stat(path);
    await rename(path, blobPath(layout, digest));
    layers.push({ mediaType: mediaType ?? MEDIA_TYPES.layer, digest, size });
    diffIds.push(diffId ?? digest);
  }
  const config = await putJson(layout, MEDIA_TYPES.config, {
    architecture: options.architecture,
    os: 'linux',
    config: options.config ?? {},
    rootfs: { type: 'layers', diff_ids: diffIds },
  });
  const manifest = await putJson(layout, MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config,
    layers,
  });
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
  await writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

async function putJson(layout: string, mediaType: string, value: unknown) {
  const data = Buffer.from(JSON.stringify(value));
  const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`;
  await writeFile(blobPath(layout, digest), data);
  return { mediaType, digest, size: data.length };
}

async function digestOf(op: Operation, path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal: op.signal, highWaterMark: 256 * 1024 })) {
    hash.update(chunk as Buffer);
  }
  return `sha256:${hash.digest('hex')}`;
}
