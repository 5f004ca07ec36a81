import { chmod, mkdir, readFile, rename, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder, writeFileAtomic } from '@sandbox-backend/kit';
import * as z from 'zod';
import type { ImageConfig } from '../image/image-source.ts';
import type { Account } from './accounts.ts';

/** What is known of a root file system beside its content. */
export type RootfsFacts = { imageConfig: ImageConfig; account: Account };

const factsSchema: z.ZodType<RootfsFacts> = z.object({
  imageConfig: z.object({
    env: z.record(z.string(), z.string()),
    user: z.string(),
    workdir: z.string(),
    entrypoint: z.array(z.string()),
    cmd: z.array(z.string()),
  }),
  account: z.object({
    name: z.string(),
    uid: z.number(),
    gid: z.number(),
    home: z.string(),
    shell: z.string(),
  }),
});

const pointerSchema = z.object({
  key: z.string().regex(/^[0-9a-f]{64}$/),
  diskMib: z.number(),
  overlay: z.boolean(),
});

export type RootfsPointer = z.infer<typeof pointerSchema>;

export const rootfsFolder = (cacheDir: string) => join(cacheDir, 'rootfs');

export const rootfsPath = (cacheDir: string, key: string) => join(rootfsFolder(cacheDir), `${key}.ext4`);

export const upperPath = (cacheDir: string, diskMib: number) =>
  join(rootfsFolder(cacheDir), `upper-${diskMib}.ext4`);

const factsPath = (cacheDir: string, key: string) => join(rootfsFolder(cacheDir), `${key}.json`);

const pointerPath = (cacheDir: string, template: string) =>
  join(rootfsFolder(cacheDir), 'by-template', `${template}.json`);

/** Puts a finished image file under its final name, never to change again. */
export async function publishFile(aside: string, path: string): Promise<void> {
  await chmod(aside, 0o444);
  await rename(aside, path);
  await syncFolder(dirname(path));
}

export async function storeRootfs(
  cacheDir: string,
  key: string,
  aside: string,
  facts: RootfsFacts,
): Promise<void> {
  await writeFileAtomic(factsPath(cacheDir, key), JSON.stringify(facts), { sync: true });
  await publishFile(aside, rootfsPath(cacheDir, key));
}

/** What is known of a cached root file system; it counts as used now. */
export async function findRootfs(cacheDir: string, key: string): Promise<RootfsFacts | undefined> {
  if (!(await isCached(rootfsPath(cacheDir, key)))) return undefined;
  return readParsed(factsPath(cacheDir, key), factsSchema);
}

export async function isCached(path: string): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))) return false;
  await utimes(path, new Date(), new Date());
  return true;
}

export async function storePointer(
  cacheDir: string,
  template: string,
  pointer: RootfsPointer,
): Promise<void> {
  const path = pointerPath(cacheDir, template);
  await mkdir(dirname(path), { recursive: true });
  await writeFileAtomic(path, JSON.stringify(pointer));
}

export const findPointer = (cacheDir: string, template: string) =>
  readParsed(pointerPath(cacheDir, template), pointerSchema);

/** A file that is missing or not what was written there is none. */
async function readParsed<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
