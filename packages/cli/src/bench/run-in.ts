import { SandboxError } from '@sandbox-backend/protocol';
import type { Envd } from '@sandbox-backend/sdk';

/** Runs a program to its end and returns what it printed. Errors: `internal` when its status is not 0. */
export async function runIn(envd: Envd, command: readonly string[], signal: AbortSignal): Promise<string> {
  const [file = '', ...args] = command;
  const { output } = await envd.start({ command: file, args }, { signal });
  const printed: Buffer[] = [];
  for (;;) {
    const next = await output.next();
    if (!next.done) {
      printed.push(next.value.data);
      continue;
    }
    const text = Buffer.concat(printed).toString('utf8');
    const { exitCode, signal: killer, error } = next.value;
    if (exitCode === 0 && killer === undefined) return text;
    throw new SandboxError(
      'internal',
      `${file} in the sandbox ended with ${killer ? `signal ${killer}` : exitCode}`,
      {
        log: text || error || '',
      },
    );
  }
}
