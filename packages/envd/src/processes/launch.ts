import { closeSync, fchownSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { SandboxError } from '@sandbox-backend/protocol';
import { defaultDirectory, resolvePath } from '../files/resolve-path.ts';
import type { Guest } from '../guest.ts';
import { makePipe } from '../runtime.ts';
import type { User } from '../users/users.ts';
import { environmentOf } from './environment.ts';
import { findProgram } from './find-program.ts';

export type Command = {
  cmd: string;
  args: readonly string[];
  env: Record<string, string>;
  cwd: string;
};

/** What to hand to the kernel. */
export type Launch = {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  uid: number | undefined;
  gid: number | undefined;
};

/** Errors: `invalid_argument` for a working directory that is none, `not_found` for a program that is not there. */
export function planLaunch(guest: Guest, user: User, command: Command): Launch {
  const { agentDirectory } = guest.options;
  const cwd = workingDirectory(guest, user, command.cwd);
  const env = environmentOf(guest, user, command.env);
  const program = findProgram(command.cmd, env.PATH ?? '', cwd, agentDirectory);
  const argv = [program.path, ...program.before, ...command.args];
  if (user.supplementary.length === 0) {
    return { argv, env, cwd, uid: user.uid, gid: user.gid }; // being spawned with a gid drops root's groups
  }
  return {
    argv: [...withGroups(user, agentDirectory), ...withoutLoader(env, agentDirectory), ...argv],
    env: loaderVariables(env).length > 0 ? {} : env,
    cwd,
    uid: undefined,
    gid: undefined,
  };
}

function workingDirectory(guest: Guest, user: User, requested: string): string {
  const path = requested ? resolvePath(guest, user, requested) : defaultDirectory(guest, user);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  if (!requested && !guest.identity.defaultWorkdir) return '/'; // a user whose home was never made
  throw new SandboxError('invalid_argument', `cwd '${path}' does not exist`);
}

/** Only setpriv of util-linux sets a list of groups. The image may lack it. */
function withGroups(user: User, agentDirectory: string): string[] {
  const own = `${agentDirectory}/bin/setpriv`;
  const setpriv = statSync(own, { throwIfNoEntry: false })
    ? [`${agentDirectory}/ld.so`, '--library-path', `${agentDirectory}/lib`, own]
    : ['/usr/bin/setpriv'];
  const groups = [user.gid, ...user.supplementary].join(',');
  return [...setpriv, '--reuid', `${user.uid}`, '--regid', `${user.gid}`, '--groups', groups, '--'];
}

const loaderVariables = (env: Record<string, string>) =>
  Object.keys(env).filter((key) => key.startsWith('LD_') || key.startsWith('GLIBC_'));

/** What the user tells the dynamic loader must not take effect while setpriv is still root. */
function withoutLoader(env: Record<string, string>, agentDirectory: string): string[] {
  if (loaderVariables(env).length === 0) return [];
  const busybox = `${agentDirectory}/bin/busybox`;
  const program = statSync(busybox, { throwIfNoEntry: false }) ? [busybox, 'env'] : ['/usr/bin/env'];
  return [...program, '-i', ...Object.entries(env).map(([key, value]) => `${key}=${value}`)];
}

/** A pipe, [end to read, end to write], that the user may open again as `/dev/stdout` and the like. */
export function makeUserPipe(user: User): [number, number] {
  const pipe = makePipe();
  if (user.uid !== 0) for (const fd of pipe) fchownSync(fd, user.uid, user.gid);
  return pipe;
}

/** Closes what was opened for a child that could not be started, or that has it now. */
export const closeAll = (descriptors: readonly number[]) => {
  for (const fd of descriptors) closeSync(fd);
};

let ownScore: number | undefined;
let scoreFile = -1;

/**
 * Runs `start` such that the child does not inherit envd's exemption from the out-of-memory killer. The
 * exemption is lifted around it, as to change the child afterwards would miss what it starts meanwhile.
 */
export function withOrdinaryOomScore<T>(start: () => T, score = 0): T {
  ownScore ??= Number(readFileSync('/proc/self/oom_score_adj', 'utf8'));
  if (ownScore >= 0 && score === 0) return start();
  if (scoreFile < 0) scoreFile = openSync('/proc/self/oom_score_adj', 'w');
  writeSync(scoreFile, `${score}`, 0);
  try {
    return start();
  } finally {
    writeSync(scoreFile, `${ownScore}`, 0);
  }
}

/** What a failed start means to the caller. */
export function launchError(caught: unknown, command: string): SandboxError {
  if (caught instanceof SandboxError) return caught;
  const cause = { cause: caught };
  switch ((caught as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return new SandboxError('not_found', `${command} or its interpreter was not found`, cause);
    case 'EACCES':
    case 'EPERM':
      return new SandboxError('permission_denied', `${command} may not be run`, cause);
    case 'ENOEXEC':
      return new SandboxError('invalid_argument', `${command} is not a program of this machine`, cause);
    case 'E2BIG':
      return new SandboxError('invalid_argument', `the arguments of ${command} are too long`, cause);
    case 'EAGAIN':
    case 'ENOMEM':
    case 'EMFILE':
      return new SandboxError('resource_exhausted', `there is no room for another process`, cause);
    default:
      return SandboxError.from(caught);
  }
}
