import { chownSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import type { User } from '../users/users.ts';

/** Makes the folder and those above it that are missing; what it makes belongs to the user. */
export function makeFolders(path: string, user: User): void {
  const missing: string[] = [];
  let folder = path;
  for (;;) {
    const stat = statSync(folder, { throwIfNoEntry: false });
    if (stat?.isDirectory()) break;
    if (stat) throw new SandboxError('invalid_argument', `path is not a directory: ${folder}`);
    missing.push(folder);
    folder = dirname(folder);
  }
  for (const made of missing.reverse()) {
    try {
      mkdirSync(made);
    } catch (caught) {
      if ((caught as NodeJS.ErrnoException).code === 'EEXIST' && statSync(made).isDirectory()) continue;
      throw caught;
    }
    chownSync(made, user.uid, user.gid);
  }
}
