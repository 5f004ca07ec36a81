import { styleText } from 'node:util';
import { SandboxError } from '@sandbox-backend/protocol';
import type { CommanderError } from 'commander';
import { printableLines } from './text/printable.ts';

export type ReportOptions = { json: boolean; verbose: boolean };

/** Writes what went wrong to standard error and returns the exit status that belongs to it. */
export function reportError(caught: unknown, options: ReportOptions): number {
  const error = SandboxError.from(caught);
  process.stderr.write(options.json ? `${JSON.stringify(toJson(error, options))}\n` : toText(error, options));
  return error.exitCode;
}

/** A wrong command line, in the form of every other error. */
export function usageError({ message }: CommanderError): SandboxError {
  const [first = '', ...rest] = message.replace(/^error: /, '').split('\n');
  const suggestion = rest
    .join(' ')
    .trim()
    .replace(/^\(|\)$/g, '');
  return new SandboxError('invalid_argument', `${first[0]?.toUpperCase() ?? ''}${first.slice(1)}`, {
    hint: suggestion || 'See sandbox-cli help, or add --help to a command.',
  });
}

function toText(error: SandboxError, { verbose }: ReportOptions): string {
  const label = styleText('red', 'error:', { stream: process.stderr });
  const causes = verbose ? causesOf(error).map((cause) => `cause: ${cause}`) : [];
  return `${label} ${printableLines([error.describe(), ...causes].join('\n'))}\n`;
}

function toJson(error: SandboxError, { verbose }: ReportOptions) {
  return {
    error: {
      code: error.code,
      message: error.message,
      ...(error.hint && { hint: error.hint }),
      ...(error.log && { log: error.log }),
      ...(verbose && { causes: causesOf(error) }),
    },
  };
}

/** From the nearest to the first, each with its own stack: what `-v` is for. */
function causesOf(error: Error): string[] {
  const causes: string[] = [];
  for (let cause = error.cause; cause !== undefined && causes.length < 8; ) {
    causes.push(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return causes.length > 0 ? causes : [error.stack ?? error.message];
}
