import { spawn } from 'node:child_process';
import { SandboxError } from '@sandbox-backend/protocol';

export type RunOptions = {
  signal?: AbortSignal;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Written to the command's standard input. */
  input?: string | Uint8Array;
  /** Called with each chunk of output as it comes, for progress. */
  onOutput?: (text: string) => void;
};

export type RunResult = { stdout: string; stderr: string };

/**
 * Runs a short command to its end; arguments are a list and never pass through a shell.
 *
 * Errors: `failed_precondition` when the program is not installed, `internal` when it exits with a
 * status other than 0 (with the end of its output in `log`), `canceled` when the signal ends it.
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted) return reject(canceled(command, options.signal));
    const child = spawn(command, args, {
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      ...(options.signal ? { signal: options.signal, killSignal: 'SIGKILL' as const } : {}),
      ...(options.cwd ? { cwd: options.cwd } : {}),
      ...(options.env ? { env: options.env } : {}),
    });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      options.onOutput?.(text);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      options.onOutput?.(text);
    });
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (options.signal?.aborted) return reject(canceled(command, options.signal));
      reject(
        cause.code === 'ENOENT'
          ? new SandboxError('failed_precondition', `${command} is not installed`, {
              cause,
              hint: 'Run scripts/start.sh, which installs what is missing, or install its package.',
            })
          : SandboxError.from(cause),
      );
    });
    child.on('close', (status, signal) => {
      if (status === 0) return resolve({ stdout, stderr });
      if (options.signal?.aborted) return reject(canceled(command, options.signal));
      const how = signal ? `was killed by ${signal}` : `exited with ${status}`;
      const full = /No space left on device|Disk quota exceeded|Could not allocate block/.test(stderr);
      reject(
        new SandboxError(full ? 'no_space' : 'internal', `${command} ${args.slice(0, 3).join(' ')} ${how}`, {
          ...(full ? { hint: 'Free space on the disk of the data folder and try again.' } : {}),
          log: (stderr || stdout).slice(-4000),
        }),
      );
    });
    if (options.input !== undefined) {
      child.stdin?.on('error', () => {}); // the exit status tells
      child.stdin?.end(options.input);
    }
  });
}

const canceled = (command: string, signal: AbortSignal) =>
  new SandboxError(
    signal.reason?.name === 'TimeoutError' ? 'deadline_exceeded' : 'canceled',
    `${command} was stopped before it finished`,
    { cause: signal.reason },
  );
