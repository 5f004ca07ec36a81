import type { Envd } from '@sandbox-backend/sdk';
import { ignoreGone } from './ignore-gone.ts';

/** What Ctrl-D types: the end of file of a terminal. */
const END_OF_TRANSMISSION = Buffer.from([4]);

/** Sends standard input to the program, piece by piece in order, as fast as it is read there. */
export function passInput(envd: Envd, pid: number, type: 'stdin' | 'pty'): Disposable {
  const { stdin } = process;
  const abort = new AbortController();
  const options = { signal: abort.signal };
  const passAll = async () => {
    for await (const data of stdin as AsyncIterable<Buffer>) {
      await envd.sendInput(pid, { type, data }, options);
    }
    if (type === 'stdin') await envd.closeStdin(pid, options);
    else await envd.sendInput(pid, { type, data: END_OF_TRANSMISSION }, options);
  };
  const passing = passAll().catch((caught: unknown) => {
    if (!abort.signal.aborted) throw caught;
  });
  void ignoreGone(passing, 'Input was not sent');
  return {
    [Symbol.dispose]() {
      abort.abort();
      stdin.destroy();
    },
  };
}
