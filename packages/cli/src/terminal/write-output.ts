import type { Writable } from 'node:stream';
import type { Envd, ProcessEnd, RunningProcess } from '@sandbox-backend/sdk';
import { surviveBrokenPipe } from './broken-pipe.ts';

const SIGPIPE = 13;

/**
 * Writes what the program prints to the stream of the same name, no faster than it is read here.
 * A reader that goes away ends the program, as a pipe would: it does not notice by itself.
 */
export async function writeOutput(envd: Envd, { pid, output }: RunningProcess): Promise<ProcessEnd> {
  surviveBrokenPipe();
  for (;;) {
    const next = await output.next();
    if (next.done) return next.value;
    const stream = next.value.type === 'stderr' ? process.stderr : process.stdout;
    if (!(await write(stream, next.value.data))) {
      await envd.signal(pid, 'SIGKILL');
      return { exitCode: -1, signal: SIGPIPE, error: undefined };
    }
  }
}

/** False when nobody reads the stream any more. */
const write = (stream: Writable, data: Buffer): Promise<boolean> =>
  new Promise((resolve, reject) => {
    stream.write(data, (error) => {
      if (!error) return resolve(true);
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') return resolve(false);
      reject(error);
    });
  });
