import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const SANDBOX_CLI = fileURLToPath(new URL('../../../../bin/sandbox-cli', import.meta.url));

export type Finished = { status: number; stdout: string; stderr: string };

export type RunCliOptions = {
  env: NodeJS.ProcessEnv;
  cwd?: string;
  /** Standard input; nothing is an end of file at once. */
  input?: string | Buffer;
  /** Called with the process and each piece of its standard output. */
  onOutput?: (child: ChildProcess, text: string) => void;
};

/** Runs bin/sandbox-cli as a process of its own, as users do. */
export function runCli(args: readonly string[], options: RunCliOptions): Promise<Finished> {
  const { env, cwd, input, onOutput } = options;
  const child = spawn(SANDBOX_CLI, args, { env, ...(cwd && { cwd }), stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    onOutput?.(child, text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => {}); // it need not read
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status: status ?? -1, stdout, stderr }));
  });
}
