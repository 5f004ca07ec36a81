import { resolve } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Guest } from '../guest.ts';
import type { User } from '../users/users.ts';

/** An absolute path of the guest: `~` is the user's home, a relative path begins at the default folder, else at home. */
export function resolvePath(guest: Guest, user: User, path: string): string {
  if (path.includes('\0')) throw new SandboxError('invalid_argument', 'the path holds a zero byte');
  if (path.length > 4096)
    throw new SandboxError('invalid_argument', 'the path is longer than 4096 characters');
  if (path.startsWith('/')) return resolve(path);
  if (path === '~' || path.startsWith('~/')) return resolve(user.home, path.slice(2));
  if (path.startsWith('~')) {
    throw new SandboxError('invalid_argument', `the home of another user cannot be named: ${path}`);
  }
  return resolve(defaultDirectory(guest, user), path);
}

export function defaultDirectory(guest: Guest, user: User): string {
  const { defaultWorkdir } = guest.identity;
  return defaultWorkdir ? resolve(user.home, defaultWorkdir) : user.home;
}
