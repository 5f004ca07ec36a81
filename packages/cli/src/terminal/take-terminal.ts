import type { Envd } from '@sandbox-backend/sdk';
import { ignoreGone } from './ignore-gone.ts';
import { terminalSize } from './size.ts';

/** Gives every key to the program, Ctrl-C too, and keeps its terminal as large as this one. */
export function takeTerminal(envd: Envd, pid: number): Disposable {
  const { stdin, stdout } = process;
  const resize = () => void ignoreGone(envd.resize(pid, terminalSize(stdout)), 'The new size was not sent');
  if (stdin.isTTY) stdin.setRawMode(true);
  stdout.on('resize', resize);
  return {
    [Symbol.dispose]() {
      stdout.off('resize', resize);
      if (stdin.isTTY) stdin.setRawMode(false);
    },
  };
}
