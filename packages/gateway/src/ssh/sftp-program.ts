import { readFileSync } from 'node:fs';
import type { Program } from './run-program.ts';

let source: string | undefined;

/**
 * The file transfer is served by a program of ours in the guest, as the user who logged in: so it may do what the
 * user may, and reads and writes at any place of a file. It runs on envd's own runtime and needs nothing of the
 * image; its text comes along, so that it fits to this server and not to the age of the template.
 */
export function sftpProgram(): Program {
  source ??= readFileSync(new URL('./guest/sftp-server.ts', import.meta.url), 'utf8')
    .replace(/^\s*(?:\/\/.*)?\n/gm, '') // empty lines and comments
    .replace(/^ +/gm, '');
  return {
    command: '/.envd/ld.so',
    args: ['--library-path', '/.envd/lib', '/.envd/bin/bun', '-e', source],
    // Not the home folder: settings that lie there are for the user's own programs.
    cwd: '/',
    env: { BUN_RUNTIME_TRANSPILER_CACHE_PATH: '0' },
  };
}
