import { dirname, extname, resolve } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import { type ParsedSpec, parseTemplateSpec } from './parse.ts';
import { readText } from './read-text.ts';
import type { TemplateSpec } from './template-spec.ts';

/**
 * Reads the specification in a file: TOML when its name ends in `.toml`, else JSON. Relative paths in it
 * are against the folder of the file.
 *
 * Errors: those of `parseTemplateSpec`; `not_found` when there is no such file.
 */
export async function loadTemplateSpec(path: string): Promise<ParsedSpec> {
  const text = await readText(path, 'template specification');
  try {
    const parsed = parseTemplateSpec(text, { format: extname(path) === '.toml' ? 'toml' : 'json' });
    const folder = dirname(resolve(path));
    return {
      ...parsed,
      spec: anchor(parsed.spec, folder),
      ...(parsed.dataRoot ? { dataRoot: resolve(folder, parsed.dataRoot) } : {}),
    };
  } catch (caught) {
    const { code, message, hint } = SandboxError.from(caught);
    throw new SandboxError(code, `${path}: ${message}`, { cause: caught, ...(hint ? { hint } : {}) });
  }
}

function anchor(spec: TemplateSpec, folder: string): TemplateSpec {
  const { authFile, files, hypervisorPath, startCommand } = spec;
  return {
    ...spec,
    image: anchorImage(spec.image, folder),
    ...(authFile ? { authFile: resolve(folder, authFile) } : {}),
    ...(files ? { files: resolve(folder, files) } : {}),
    // A bare name is looked up in PATH.
    ...(hypervisorPath?.includes('/') ? { hypervisorPath: resolve(folder, hypervisorPath) } : {}),
    ...(startCommand?.envFile
      ? { startCommand: { ...startCommand, envFile: resolve(folder, startCommand.envFile) } }
      : {}),
  };
}

/** Only images that are files have a path in their reference. */
function anchorImage(image: string, folder: string): string {
  const local = /^(docker-archive:|oci-archive:|oci:)([^:]+)(.*)$/s.exec(image);
  if (local) return `${local[1]}${resolve(folder, local[2]!)}${local[3]}`;
  return /^\.{1,2}\/.*\.tar$/s.test(image) ? resolve(folder, image) : image;
}
