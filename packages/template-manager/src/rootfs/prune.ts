import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { rootfsFolder } from './store.ts';

type Item = { paths: string[]; bytes: number; usedAt: number; obsolete: boolean };

const HOUR_MS = 3_600_000;

/**
 * Removes from the cache what was not used for longest, until it takes at most `maxBytes` of the disk; what
 * no reference names any more goes first. What was used in the last hour stays, since a build may be
 * reading it, and so do files that a build shares by a hard link.
 */
export async function pruneCache(
  cacheDir: string,
  maxBytes: number,
  now = Date.now(),
): Promise<{ removed: number; freedBytes: number }> {
  const items = [...(await layouts(cacheDir)), ...(await disks(cacheDir))];
  items.push(...(await leftovers(cacheDir, now)));
  let total = items.reduce((sum, item) => sum + item.bytes, 0);
  let removed = 0;
  let freedBytes = 0;
  items.sort((a, b) => Number(b.obsolete) - Number(a.obsolete) || a.usedAt - b.usedAt);
  for (const item of items) {
    if (now - item.usedAt < HOUR_MS || (total <= maxBytes && !item.obsolete)) continue;
    for (const path of item.paths) await rm(path, { recursive: true, force: true });
    total -= item.bytes;
    freedBytes += item.bytes;
    removed++;
  }
  return { removed, freedBytes };
}

async function layouts(cacheDir: string): Promise<Item[]> {
  const items: Item[] = [];
  const images = join(cacheDir, 'images');
  for (const reference of await list(images)) {
    const folder = join(images, reference);
    const current = await readFile(join(folder, 'current.json'), 'utf8').catch(() => '');
    for (const name of await list(folder)) {
      if (!/^[0-9a-f]{64}$/.test(name)) continue;
      items.push(await item([join(folder, name)], { obsolete: !current.includes(`"${name}"`) }));
    }
  }
  return items;
}

async function disks(cacheDir: string): Promise<Item[]> {
  const folder = rootfsFolder(cacheDir);
  const items: Item[] = [];
  for (const name of await list(folder)) {
    if (!name.endsWith('.ext4')) continue;
    const path = join(folder, name);
    const { nlink } = await stat(path);
    if (nlink === 1) items.push(await item([path, path.replace(/ext4$/, 'json')], { obsolete: false }));
  }
  return items;
}

/** What a process left that was killed in the middle. */
async function leftovers(cacheDir: string, now: number): Promise<Item[]> {
  const images = join(cacheDir, 'images');
  const folders = [rootfsFolder(cacheDir), ...(await list(images)).map((name) => join(images, name))];
  const items: Item[] = [];
  for (const folder of folders) {
    for (const name of await list(folder)) {
      if (name.startsWith('.work-')) items.push(await item([join(folder, name)], { obsolete: true }));
    }
  }
  return items.filter(({ usedAt }) => now - usedAt > 24 * HOUR_MS);
}

async function item(paths: string[], { obsolete }: { obsolete: boolean }): Promise<Item> {
  const usedAt = (await stat(paths[0]!)).mtimeMs;
  const sizes = await Promise.all(paths.map(sizeOnDisk));
  return { paths, usedAt, obsolete, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

async function sizeOnDisk(path: string): Promise<number> {
  const own = await stat(path).catch(() => undefined);
  if (!own) return 0;
  const inside = own.isDirectory() ? await list(path) : [];
  const sizes = await Promise.all(inside.map((name) => sizeOnDisk(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, own.blocks * 512);
}

const list = (folder: string) => readdir(folder).catch((): string[] => []);
