import { open } from 'node:fs/promises';
import { SandboxError } from '@sandbox-backend/protocol';

const SIZE_LIMIT = 1024 * 1024;

/**
 * The content of a text file that a user named. `what` says what it is for.
 * Errors: `not_found`, `permission_denied`; `invalid_argument` for what is no file or too large.
 */
export async function readText(path: string, what: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const info = await file.stat();
    if (!info.isFile()) throw new SandboxError('invalid_argument', `the ${what} ${path} is not a file`);
    if (info.size > SIZE_LIMIT) {
      throw new SandboxError('invalid_argument', `the ${what} ${path} is larger than ${SIZE_LIMIT} bytes`);
    }
    return await file.readFile('utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new SandboxError('not_found', `the ${what} ${path} is not there`, {
        cause,
        hint: 'Check the path; it is a path on the host that builds.',
      });
    }
    if (code === 'EACCES') {
      throw new SandboxError('permission_denied', `the ${what} ${path} may not be read`, { cause });
    }
    throw SandboxError.from(cause);
  }
}
