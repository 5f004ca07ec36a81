import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz';

/** A prefix and `length` characters of [0-9a-z], about five bits each: fit for paths and DNS labels. */
export function randomId(prefix: string, length = 20): string {
  let id = prefix;
  while (id.length < prefix.length + length) {
    for (const byte of randomBytes(length)) {
      // 252 is the largest multiple of 36 in a byte: every character is equally likely.
      if (byte < 252 && id.length < prefix.length + length) id += ALPHABET[byte % 36];
    }
  }
  return id;
}
