import type { LogLine } from '@sandbox-backend/protocol';

/** Characters; a longer line is cut into several. */
const MAX_LINE = 2000;
const PIECES = new RegExp(`.{1,${MAX_LINE}}`, 'gsu');

/** At once; a guest that prints nothing but line feeds must not keep the server busy. */
const MAX_LINES = 1000;
const PLAIN = /^[\t -~]*$/;

/** Makes lines of what a guest prints, which comes in pieces that end anywhere. */
export class LineSplitter {
  private rest = '';

  /** The lines that the text ends. Without text: what is left, though nothing has ended it. */
  push(text: string): string[] {
    const lines = (this.rest + text).split('\n');
    this.rest = text === '' ? '' : (lines.pop() ?? '');
    if (this.rest.length > MAX_LINE) {
      lines.push(this.rest);
      this.rest = '';
    }
    const left = Math.max(0, lines.length - MAX_LINES);
    const kept = lines.slice(left).flatMap(printable);
    return left > 0 ? [`(${left} lines left out)`, ...kept] : kept;
  }
}

/** Terminal control sequences of a guest, and characters that turn text around, never reach a terminal of its owner. */
export function printable(line: string): string[] {
  const text = (PLAIN.test(line) ? line : withoutControls(line)).trimEnd();
  return text.length > MAX_LINE ? (text.match(PIECES) ?? []) : text === '' ? [] : [text];
}

const withoutControls = (line: string) =>
  line
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
    .replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g, '')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, (character) => (character === '\t' ? '\t' : ''))
    .toWellFormed();

/** One line of a file. */
export const stamp = (level: LogLine['level'], message: string, at = new Date()) =>
  `${at.toISOString()} ${level} ${message}\n`;

/** Undefined for a line that a crash cut. */
export function unstamp(line: string): LogLine | undefined {
  const [, timestamp, level, message] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (debug|info|warn|error) (.*)$/s.exec(line) ?? [];
  if (timestamp === undefined || message === undefined) return undefined;
  return { timestamp, level: level as LogLine['level'], message };
}
