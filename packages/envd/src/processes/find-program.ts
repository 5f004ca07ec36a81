import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';

export type Program = { path: string /** Arguments that come before those asked for. */; before: string[] };

/**
 * Finds the program of a command: a path, or a name on the PATH that the process will have. Where the image has
 * no bash its own sh stands in, and where it has none either the busybox beside envd.
 */
export function findProgram(
  command: string,
  searchPath: string,
  cwd: string,
  agentDirectory: string,
): Program {
  if (command === '') throw new SandboxError('invalid_argument', 'the command is empty');
  if (command.includes('/')) {
    const path = resolve(cwd, command);
    const kind = kindOf(path);
    if (kind === 'program') return { path, before: [] };
    if (kind === 'other') throw new SandboxError('permission_denied', `${command} is not an executable file`);
    const stand = standIn(path, agentDirectory);
    if (stand) return stand;
  } else {
    for (const folder of searchPath.split(':')) {
      const path = resolve(cwd, folder, command);
      if (kindOf(path) === 'program') return { path, before: [] };
    }
    const stand =
      command === 'bash' || command === 'sh' ? standIn(`/bin/${command}`, agentDirectory) : undefined;
    if (stand) return stand;
  }
  throw new SandboxError('not_found', `the program ${command} was not found`);
}

function standIn(path: string, agentDirectory: string): Program | undefined {
  if (path !== '/bin/bash' && path !== '/usr/bin/bash' && path !== '/bin/sh') return undefined;
  if (path !== '/bin/sh' && kindOf('/bin/sh') === 'program') return { path: '/bin/sh', before: [] };
  const busybox = `${agentDirectory}/bin/busybox`;
  return kindOf(busybox) === 'program' ? { path: busybox, before: ['sh'] } : undefined;
}

function kindOf(path: string): 'program' | 'other' | 'nothing' {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) return 'nothing';
    return stat.isFile() && (stat.mode & 0o111) !== 0 ? 'program' : 'other';
  } catch {
    return 'nothing';
  }
}
