import { SandboxError } from '@sandbox-backend/protocol';
import { readText } from './read-text.ts';

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Reads the environment file of a start command. Errors: `not_found`, and `invalid_argument` with the line. */
export async function readEnvironmentFile(path: string): Promise<Record<string, string>> {
  const text = await readText(path, 'environment file');
  try {
    return parseEnvironmentFile(text);
  } catch (caught) {
    const { code, message, hint } = SandboxError.from(caught);
    throw new SandboxError(code, `${path}: ${message}`, { cause: caught, ...(hint ? { hint } : {}) });
  }
}

/**
 * Reads `NAME=value` lines as systemd does (systemd.exec(5), EnvironmentFile=): `#` and `;` begin comments,
 * quotes group, a backslash takes the next character as it is or joins lines, and `$` means nothing.
 * Stricter than systemd in one thing: a line that is no assignment is refused, and not passed over.
 */
export function parseEnvironmentFile(text: string): Record<string, string> {
  const values = new Map<string, string>();
  const reader = { text: text.replaceAll('\r\n', '\n'), at: 0 };
  for (;;) {
    skip(reader, /[\s]*/y);
    if (reader.at >= reader.text.length) break;
    const start = reader.at;
    if (skip(reader, /[#;](?:\\[\s\S]|[^\\\n])*/y)) continue;
    const name = skip(reader, /[^=\n]*/y).trim();
    if (reader.text[reader.at] !== '=' || !NAME.test(name)) throw notAssignment(reader.text, start);
    reader.at++;
    const value = readValue(reader, start);
    if (value.includes('\0')) throw notAssignment(reader.text, start);
    values.set(name, value);
  }
  return Object.fromEntries(values);
}

type Reader = { text: string; at: number };

/** Quotes count only where a value or a part of it begins, as in systemd: in `it's` the quote is a letter. */
function readValue(reader: Reader, start: number): string {
  let value = '';
  for (;;) {
    skip(reader, /[^\S\n]*/y);
    const quote = reader.text[reader.at];
    if (quote === "'") value += readQuoted(reader, /'([^']*)'/y, start);
    else if (quote === '"') {
      value += readQuoted(reader, /"((?:\\[\s\S]|[^"\\])*)"/y, start).replaceAll(
        /\\([\s\S])/g,
        (pair, next: string) => (next === '\n' ? '' : '"\\`$'.includes(next) ? next : pair),
      );
    } else {
      const plain = skip(reader, /(?:\\[\s\S]|[^\\\n])*/y);
      // Blanks at the end are not part of the value, unless a backslash says so.
      const [trimmed = ''] = /^(?:\\[\s\S]|[^\\\s]|\s+(?=\S))*/.exec(plain) ?? [];
      return value + trimmed.replaceAll(/\\([\s\S])/g, (_, next: string) => (next === '\n' ? '' : next));
    }
  }
}

function readQuoted(reader: Reader, pattern: RegExp, start: number): string {
  const quoted = skip(reader, pattern);
  if (quoted === '') {
    throw new SandboxError(
      'invalid_argument',
      `line ${lineOf(reader.text, start)} has a quote without an end`,
      {
        hint: 'Close the quote, or write a backslash before it.',
      },
    );
  }
  return quoted.slice(1, -1);
}

/** Goes over what the sticky pattern matches, and returns it. */
function skip(reader: Reader, pattern: RegExp): string {
  pattern.lastIndex = reader.at;
  const [found = ''] = pattern.exec(reader.text) ?? [];
  reader.at += found.length;
  return found;
}

/** The line itself stays out of the message: it may hold a secret. */
function notAssignment(text: string, at: number): SandboxError {
  return new SandboxError('invalid_argument', `line ${lineOf(text, at)} is not an assignment`, {
    hint: 'Write NAME=value, without `export`.',
  });
}

const lineOf = (text: string, at: number) => text.slice(0, at).split('\n').length;
