import type { Budget } from '../budget.ts';

const LONGEST_LINE_BYTES = 32 * 1024 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

export type LineSplitter = {
  /** The lines that end in the chunk. */
  add(chunk: Buffer): string[];
  /** What is left over when the output ends; a line that has no end, if there is one. */
  end(): string[];
};

/**
 * Cuts output into lines, without the newlines. What is held of an unfinished line comes out of the budget;
 * one that is too long, or for which there is no room, comes in pieces.
 */
export function splitLines(held: Budget): LineSplitter {
  let pending: Buffer[] = [];
  let pendingBytes = 0;

  const take = (): Buffer => {
    const all = pending.length === 1 ? pending[0]! : Buffer.concat(pending);
    held.give(pendingBytes);
    pending = [];
    pendingBytes = 0;
    return all;
  };
  const hold = (bytes: Buffer) => {
    if (bytes.length === 0) return;
    held.take(bytes.length);
    pending.push(Buffer.from(bytes)); // a copy: the chunk would keep all that came with it
    pendingBytes += bytes.length;
  };
  return {
    add(chunk) {
      const lines: string[] = [];
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        let line = chunk.subarray(start, end);
        if (pendingBytes > 0) {
          hold(line);
          line = take();
        }
        lines.push(textOf(line.at(-1) === RETURN ? line.subarray(0, -1) : line));
        start = end + 1;
      }
      hold(chunk.subarray(start));
      if (pendingBytes >= LONGEST_LINE_BYTES || held.isSpent) {
        const piece = take();
        const whole = wholeCharacters(piece);
        if (whole > 0) lines.push(textOf(piece.subarray(0, whole)));
        hold(piece.subarray(whole));
      }
      return lines;
    },
    end: () => (pendingBytes > 0 ? [textOf(take())] : []),
  };
}

const textOf = (bytes: Buffer) => bytes.toString('utf8');

/** How many bytes there are before a character of UTF-8 that is cut off at the end. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
