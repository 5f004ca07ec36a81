import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@sandbox-backend/kit';
import * as z from 'zod';

const currentSchema = z.object({
  reference: z.string(),
  layout: z.string().regex(/^[0-9a-f]{64}$/),
  /** What the source called this content: a registry's digest, or an archive's size and time. */
  version: z.string(),
});

export type CachedLayout = { layout: string; version: string };

/**
 * The folder of one reference: `current.json` names the layout in force. A layout never changes under its
 * name, so a build that reads an older one goes on undisturbed.
 */
export function imageFolder(cacheDir: string, reference: string): string {
  const name = createHash('sha256').update(`${reference}\n${process.arch}`).digest('hex');
  return join(cacheDir, 'images', name);
}

/** The layout in force for a reference, if there is one. */
export async function findLayout(folder: string): Promise<CachedLayout | undefined> {
  const current = await readFile(join(folder, 'current.json'), 'utf8').catch(() => undefined);
  if (current === undefined) return undefined;
  const parsed = currentSchema.safeParse(JSON.parse(current));
  if (!parsed.success) return undefined;
  const layout = join(folder, parsed.data.layout);
  if (!(await stat(join(layout, 'index.json')).catch(() => undefined))) return undefined;
  await utimes(layout, new Date(), new Date());
  return { layout, version: parsed.data.version };
}

/**
 * Lets `fill` make a layout aside, then puts it in force for the reference, in one step. Whatever fails
 * leaves the one in force as it was and nothing of its own.
 */
export async function storeLayout(
  folder: string,
  options: { reference: string; version: string },
  fill: (work: string) => Promise<void>,
): Promise<CachedLayout> {
  await mkdir(folder, { recursive: true });
  await using held = new AsyncDisposableStack();
  const work = await mkdtemp(join(folder, '.work-'));
  held.defer(() => rm(work, { recursive: true, force: true, maxRetries: 3 }));
  const fresh = join(work, 'layout');
  await fill(fresh);
  const name = createHash('sha256').update(`${options.version}\n${randomUUID()}`).digest('hex');
  const layout = join(folder, name);
  await rename(fresh, layout);
  await writeFileAtomic(join(folder, 'current.json'), JSON.stringify({ ...options, layout: name }));
  return { layout, version: options.version };
}
