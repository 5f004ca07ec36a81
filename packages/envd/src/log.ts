import { writeSync } from 'node:fs';

/** One line on the console of the guest. Never the content of files, of input or of output. */
export function logLine(text: string): void {
  try {
    writeSync(2, `envd: ${text.replace(/\s*\n\s*/g, ' | ').slice(0, 2000)}\n`);
  } catch {
    // a console that takes nothing is no reason to fail
  }
}
