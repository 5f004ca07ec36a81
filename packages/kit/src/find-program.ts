import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';

/**
 * The absolute path of a program, looked up in `PATH` when it is a bare name.
 * Errors: `failed_precondition` when there is none that may be executed.
 */
export async function findProgram(name: string, path = process.env.PATH ?? ''): Promise<string> {
  const folders = path.split(delimiter).filter(isAbsolute);
  const candidates = name.includes('/') ? [name] : folders.map((folder) => join(folder, name));
  for (const candidate of candidates) {
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found && isAbsolute(candidate)) return candidate;
  }
  throw new SandboxError('failed_precondition', `${name} is not installed`, {
    hint: 'Run scripts/start.sh, which installs what is missing, or install its package.',
  });
}
