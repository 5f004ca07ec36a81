import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  type BuildManifest,
  isBuildId,
  isTemplateName,
  SandboxError,
  type TemplateInfo,
} from '@sandbox-backend/protocol';
import { BUILD_FILES, paths } from './paths.ts';

export type Build = { directory: string; manifest: BuildManifest };

/** The build in force of a template; undefined when the template does not exist. */
export async function currentBuild(dataRoot: string, template: string): Promise<Build | undefined> {
  if (!isTemplateName(template)) return undefined;
  const target = await readlink(paths.current(dataRoot, template)).catch(() => undefined);
  if (target === undefined) return undefined;
  return readBuild(paths.build(dataRoot, template, basename(target)));
}

export async function readBuild(directory: string): Promise<Build> {
  const file = join(directory, BUILD_FILES.manifest);
  try {
    const manifest = JSON.parse(await readFile(file, 'utf8')) as BuildManifest;
    if (manifest.schema !== 1) throw new Error(`schema ${manifest.schema} is not known`);
    return { directory, manifest };
  } catch (cause) {
    throw new SandboxError('internal', `the build at ${directory} has no readable manifest`, {
      cause,
      hint: 'Build the template again with bin/template-manager.',
    });
  }
}

/** Every template with a build in force, by name. */
export async function listTemplates(dataRoot: string): Promise<TemplateInfo[]> {
  const names = (await readdir(paths.templates(dataRoot)).catch(() => [])).filter(isTemplateName).sort();
  const found = await Promise.all(names.map((name) => findTemplate(dataRoot, name)));
  return found.filter((info) => info !== undefined);
}

export async function findTemplate(dataRoot: string, name: string): Promise<TemplateInfo | undefined> {
  const build = await currentBuild(dataRoot, name);
  if (!build) return undefined;
  const builds = await readdir(paths.builds(dataRoot, name)).catch(() => []);
  return { name, manifest: build.manifest, buildCount: builds.filter(isBuildId).length };
}
