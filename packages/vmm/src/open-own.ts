import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { SandboxError } from '@sandbox-backend/protocol';

/**
 * Opens a file that a VMM may have put another thing in place of: no link is followed, and nothing is waited for as
 * a pipe would have it. Errors: `internal` for what is not a plain file, and those of the file system.
 */
export async function openOwn(path: string, mode: 'read' | 'write' = 'read'): Promise<FileHandle> {
  const { O_RDONLY, O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(path, (mode === 'read' ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new SandboxError('internal', `${path} is not a file: its VMM replaced it`);
}
