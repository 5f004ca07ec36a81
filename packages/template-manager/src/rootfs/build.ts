import { createHash } from 'node:crypto';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';
import { checkTemplateName, SandboxError } from '@sandbox-backend/protocol';
import { flatten } from '../image/flatten.ts';
import type { ImageSource } from '../image/image-source.ts';
import { type ResolveOptions, resolveImage } from '../image/resolve.ts';
import { scanLayers } from '../image/scan.ts';
import { writeTree } from '../image/write-tree.ts';
import { type AddedFile, digestOf, layFiles, readAddedFiles } from './added-files.ts';
import { checkTree } from './check-tree.ts';
import { EDITS_VERSION, editTree } from './edits.ts';
import { makeExt4, measureTree } from './ext4.ts';
import {
  findPointer,
  findRootfs,
  isCached,
  publishFile,
  type RootfsFacts,
  rootfsFolder,
  rootfsPath,
  storePointer,
  storeRootfs,
  upperPath,
} from './store.ts';

export type RootfsSpec = Omit<ResolveOptions, 'cacheDir'> & {
  template: string;
  /** Free space for the sandbox: beside the image's content, or in the upper layer. */
  diskMib: number;
  /** The root file system is shared and read-only, and what a sandbox writes goes to an upper layer. */
  overlay: boolean;
  /** A folder on the host whose files are laid over the image. */
  files?: string;
};

export type Rootfs = RootfsFacts & {
  key: string;
  /** An ext4 image, mode 0444; never changes under this name. */
  path: string;
  /** With an overlay: an empty ext4 image, to be copied for each sandbox. */
  upper?: string;
  /** It was there already. */
  cached: boolean;
};

const DISK_MIB = { min: 16, max: 1024 * 1024 };

/**
 * Makes the root file system of a template from its image, or finds it in the cache. A file appears under
 * its final name only when it is complete, and every failure leaves the cache as it was.
 *
 * Errors: those of `resolveImage`; `invalid_argument` for an image that cannot be unpacked; `no_space`.
 */
export async function buildRootfs(
  op: Operation,
  spec: RootfsSpec,
  deps: { cacheDir: string },
): Promise<Rootfs> {
  const { cacheDir } = deps;
  const { diskMib, overlay } = spec;
  checkTemplateName(spec.template);
  if (!Number.isInteger(diskMib) || diskMib < DISK_MIB.min || diskMib > DISK_MIB.max) {
    throw new SandboxError('invalid_argument', `a disk of ${diskMib} MiB is not possible`, {
      hint: `Choose from ${DISK_MIB.min} to ${DISK_MIB.max} MiB.`,
    });
  }
  const added = spec.files ? await readAddedFiles(spec.files) : [];
  const image = await resolveImage(op, { ...spec, cacheDir });
  const key = keyOf(image, spec, added);
  await mkdir(rootfsFolder(cacheDir), { recursive: true });
  const found = spec.refresh ? undefined : await findRootfs(cacheDir, key);
  const facts = found ?? (await make(op, { image, added, key, spec, cacheDir }));
  const upper = overlay ? await provideUpper(op, diskMib, cacheDir) : undefined;
  await storePointer(cacheDir, spec.template, { key, diskMib, overlay });
  return { ...facts, key, path: rootfsPath(cacheDir, key), cached: !!found, ...(upper ? { upper } : {}) };
}

/** The root file system that the template was last built from, if the cache has it still, whatever its image is now. */
export async function findCachedRootfs(
  op: Operation,
  spec: Pick<RootfsSpec, 'template' | 'diskMib' | 'overlay'>,
  deps: { cacheDir: string },
): Promise<Rootfs | undefined> {
  const { cacheDir } = deps;
  checkTemplateName(spec.template);
  const pointer = await findPointer(cacheDir, spec.template);
  if (!pointer || pointer.overlay !== spec.overlay) return undefined;
  if (!spec.overlay && pointer.diskMib !== spec.diskMib) return undefined;
  const facts = await findRootfs(cacheDir, pointer.key);
  if (!facts) return undefined;
  const upper = spec.overlay ? await provideUpper(op, spec.diskMib, cacheDir) : undefined;
  const path = rootfsPath(cacheDir, pointer.key);
  return { ...facts, key: pointer.key, path, cached: true, ...(upper ? { upper } : {}) };
}

/** A root file system with an overlay does not depend on the size of the disk: the upper layer does. */
function keyOf(image: ImageSource, { diskMib, overlay }: RootfsSpec, added: readonly AddedFile[]): string {
  const parts = [image.digest, image.isBase, EDITS_VERSION, overlay ? 'overlay' : diskMib];
  if (added.length > 0) parts.push(digestOf(added));
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

async function make(
  op: Operation,
  request: {
    image: ImageSource;
    added: readonly AddedFile[];
    key: string;
    spec: RootfsSpec;
    cacheDir: string;
  },
): Promise<RootfsFacts> {
  const { image, spec, cacheDir } = request;
  await using held = new AsyncDisposableStack();
  const work = await workFolder(held, cacheDir);
  const tree = await op.phase('read image', async () => flatten(await scanLayers(op, image.layers)));
  const account = editTree(tree, { isBase: image.isBase });
  layFiles(tree, request.added, account);
  checkTree(tree);
  const folder = join(work, 'tree');
  await mkdir(folder);
  await op.phase('unpack', () => writeTree(op, tree, image.layers, folder));
  const file = join(work, 'rootfs.ext4');
  const content = { folder, usage: measureTree(tree) };
  await op.phase('make disk', () =>
    makeExt4(op, file, spec.overlay ? { content } : { content, freeMib: spec.diskMib }),
  );
  const facts = { imageConfig: image.config, account };
  await storeRootfs(cacheDir, request.key, file, facts);
  return facts;
}

async function provideUpper(op: Operation, diskMib: number, cacheDir: string): Promise<string> {
  const path = upperPath(cacheDir, diskMib);
  if (await isCached(path)) return path;
  await using held = new AsyncDisposableStack();
  const file = join(await workFolder(held, cacheDir), 'upper.ext4');
  await op.phase('make upper disk', () => makeExt4(op, file, { freeMib: diskMib }));
  await publishFile(file, path);
  return path;
}

/** Only root may look into it: the image's setuid programs lie there for a while. */
async function workFolder(held: AsyncDisposableStack, cacheDir: string): Promise<string> {
  const path = await mkdtemp(join(rootfsFolder(cacheDir), '.work-'));
  held.defer(async () => void (await run('rm', ['-rf', '--one-file-system', '--', path])));
  return path;
}
