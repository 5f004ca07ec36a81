import { resolve } from 'node:path/posix';

/** Whose processes and uploads the seed's are. */
export const USER = 'user';
/** The seed's daemon read and wrote files as root, and its clients rely on it. */
export const ROOT = 'root';

/** Relative to the root, as the seed's daemon was; without the dot segments that clients send. */
export const absolute = (path: string) => resolve('/', path);

/** A folder to start a program in; empty is the user's own. */
export const folderOf = (cwd: string) => (cwd === '' ? '~' : /^[/~]/.test(cwd) ? cwd : `/${cwd}`);

/** A shell line as the user's login shell runs it. */
export const loginShell = (line: string) => ({ command: '/bin/bash', args: ['-l', '-c', line] });
