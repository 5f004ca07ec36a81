import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, chown, lstat, open, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { syncFolder, writeFileAtomic } from '@sandbox-backend/kit';
import { type BuildManifest, isBuildId, SandboxError } from '@sandbox-backend/protocol';
import { readRecords } from '../ref.ts';
import { BUILD_FILES, paths } from './paths.ts';

/** Hashing all of memory would cost more than restoring it; device state is what a bit error makes worthless. */
const HASHED: readonly string[] = [BUILD_FILES.state];

/** Takes the files from the VMM's user, makes them read-only and durable, and lists them in the manifest. */
export async function freezeFiles(directory: string, manifest: BuildManifest): Promise<BuildManifest> {
  const files: BuildManifest['files'] = {};
  for (const name of await readdir(directory)) {
    if (!Object.values<string>(BUILD_FILES).includes(name)) {
      await rm(join(directory, name), { recursive: true, force: true });
      continue;
    }
    const path = join(directory, name);
    // The VMM could write here: a link in place of a file would have us open up another file of this host.
    if (!(await lstat(path)).isFile()) {
      throw new SandboxError('internal', `${name} of the build is not a file: the VMM replaced it`);
    }
    await chown(path, 0, 0);
    await chmod(path, 0o444);
    await using file = await open(path, 'r');
    await file.sync();
    const { size: bytes } = await stat(path);
    files[name] = HASHED.includes(name) ? { bytes, sha256: await sha256(path) } : { bytes };
  }
  await chown(directory, 0, 0);
  await chmod(directory, 0o755);
  return { ...manifest, files };
}

/** Puts the build in force: its manifest last, then its final name, then the link, each in one step. */
export async function publishBuild(dataRoot: string, work: string, manifest: BuildManifest): Promise<void> {
  const { template, buildId } = manifest;
  await writeFileAtomic(join(work, BUILD_FILES.manifest), `${JSON.stringify(manifest, undefined, 2)}\n`, {
    mode: 0o444,
    sync: true,
  });
  await rename(work, paths.build(dataRoot, template, buildId));
  await syncFolder(paths.builds(dataRoot, template));
  const link = paths.current(dataRoot, template);
  await rm(`${link}.new`, { force: true });
  await symlink(join('builds', buildId), `${link}.new`);
  await rename(`${link}.new`, link);
  await syncFolder(paths.template(dataRoot, template));
}

/**
 * Removes builds that neither the template nor a machine uses. With `keepPrevious` the
 * newest of the replaced ones stays, for a start that chose it a moment ago. The caller holds the template's lock.
 */
export async function removeOldBuilds(
  dataRoot: string,
  template: string,
  options: { keepPrevious: boolean },
): Promise<void> {
  const folder = paths.builds(dataRoot, template);
  const current = await readlink(paths.current(dataRoot, template)).catch(() => '');
  const used = new Set((await readRecords(dataRoot)).map(({ record }) => record?.buildId));
  used.add(basename(current));
  const names = await readdir(folder).catch(() => []);
  const replaced = await byAge(
    folder,
    names.filter((name) => isBuildId(name) && !used.has(name)),
  );
  if (options.keepPrevious) replaced.pop();
  for (const name of replaced) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function byAge(folder: string, names: string[]): Promise<string[]> {
  const rows = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })),
  );
  return rows.sort((a, b) => a.at - b.at).map(({ name }) => name);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}
