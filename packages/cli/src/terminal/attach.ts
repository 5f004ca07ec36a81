import { SandboxError } from '@sandbox-backend/protocol';
import type { CallOptions, Envd, ProcessEnd, RunningProcess } from '@sandbox-backend/sdk';
import { note } from '../text/print.ts';
import { forwardSignals } from './forward-signals.ts';
import { passInput } from './pass-input.ts';
import { takeTerminal } from './take-terminal.ts';
import { writeOutput } from './write-output.ts';

/**
 * Joins this process's streams and signals to a program in a sandbox until the program ends.
 * Resolves with the exit status to end with; the terminal is as it was before.
 */
export async function attach(
  envd: Envd,
  program: RunningProcess,
  options: { input: 'stdin' | 'pty' | undefined; call: CallOptions },
): Promise<number> {
  await using held = new AsyncDisposableStack();
  if (options.input === 'pty') held.use(takeTerminal(envd, program.pid));
  held.use(forwardSignals(envd, program.pid));
  if (options.input) held.use(passInput(envd, program.pid, options.input));
  return exitStatus(await writeOutput(envd, program));
}

function exitStatus({ exitCode, signal, error }: ProcessEnd): number {
  if (signal !== undefined) return 128 + signal;
  if (exitCode >= 0) return exitCode;
  note(`The program ended without a status${error ? `: ${error}` : ''}`);
  return new SandboxError('internal', '').exitCode;
}
