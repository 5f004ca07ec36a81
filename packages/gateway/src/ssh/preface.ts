import { isSandboxId } from '@sandbox-backend/protocol';

/** What our ProxyCommand sends before anything else: `SANDBOX <id>\n`. */
const WORD = Buffer.from('SANDBOX ');
const LONGEST_ID = 40;

export type Preface =
  /** Too little has come to tell. */
  | { type: 'partial' }
  /** An ordinary SSH client, or something that is none. */
  | { type: 'none' }
  | { type: 'invalid' }
  | { type: 'sandbox'; sandboxId: string; rest: Buffer };

/** Reads the line that may come before the banner of an SSH client, from the first bytes of a connection. */
export function readPreface(bytes: Buffer): Preface {
  const known = Math.min(bytes.length, WORD.length);
  if (bytes.compare(WORD, 0, known, 0, known) !== 0) return { type: 'none' };
  const end = bytes.subarray(0, WORD.length + LONGEST_ID + 1).indexOf(0x0a);
  if (end < 0) return { type: bytes.length > WORD.length + LONGEST_ID ? 'invalid' : 'partial' };
  const sandboxId = bytes.toString('latin1', WORD.length, end);
  return isSandboxId(sandboxId)
    ? { type: 'sandbox', sandboxId, rest: bytes.subarray(end + 1) }
    : { type: 'invalid' };
}
