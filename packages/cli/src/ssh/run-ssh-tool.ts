import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { SandboxError } from '@sandbox-backend/protocol';

/** Runs a program of OpenSSH on this terminal and resolves with its exit status. Errors: `failed_precondition` without it. */
export async function runSshTool(program: 'ssh' | 'ssh-keygen', args: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit' });
  // Ctrl-C is for the program; this process waits for what it does about it.
  const wait = () => {};
  process.on('SIGINT', wait);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', (cause) => reject(notInstalled(program, cause)));
      child.on('close', (status, signal) =>
        resolve(status ?? 128 + (signal ? constants.signals[signal] : 0)),
      );
    });
  } finally {
    process.off('SIGINT', wait);
  }
}

function notInstalled(program: string, cause: Error): SandboxError {
  return new SandboxError(
    'failed_precondition',
    `The program ${program} cannot be run: is OpenSSH installed?`,
    {
      cause,
      hint: 'On Debian and Ubuntu: apt install openssh-client. Without it, sandbox-cli sandbox exec -t ID gives a terminal and sandbox-cli sandbox cp copies files.',
    },
  );
}
