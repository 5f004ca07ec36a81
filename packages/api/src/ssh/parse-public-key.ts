import { createHash, createPublicKey } from 'node:crypto';
import { SandboxError } from '@sandbox-backend/protocol';

export type PublicKey = {
  algorithm: string;
  /** What the base64 holds. */
  data: Buffer;
  comment: string;
};

const LONGEST_LINE = 16 * 1024;
const SMALLEST_RSA_BITS = 2048;
const LARGEST_RSA_BITS = 16_384;
const CURVES: Record<string, { curve: string; jwk: string; bytes: number }> = {
  'ecdsa-sha2-nistp256': { curve: 'nistp256', jwk: 'P-256', bytes: 32 },
  'ecdsa-sha2-nistp384': { curve: 'nistp384', jwk: 'P-384', bytes: 48 },
  'ecdsa-sha2-nistp521': { curve: 'nistp521', jwk: 'P-521', bytes: 66 },
};

/**
 * A public key in the one line that OpenSSH writes: algorithm, base64, comment. Errors: `invalid_argument` for
 * anything that is not exactly a key of an algorithm that is safe today.
 */
export function parsePublicKey(text: string): PublicKey {
  if (text.length > LONGEST_LINE) throw invalid('is too long');
  if (/PRIVATE KEY/.test(text)) throw invalid('is a private key', 'Never send that one; give the .pub file.');
  const [, algorithm, base64, comment = ''] =
    /^(\S+)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t]+([^\r\n]*))?$/.exec(text.trim()) ?? [];
  if (algorithm === undefined || base64 === undefined) {
    throw invalid('is not one line as in an .pub file of OpenSSH: the algorithm, base64, a comment');
  }
  const data = Buffer.from(base64, 'base64');
  if (data.toString('base64').replace(/=+$/, '') !== base64.replace(/=+$/, '')) {
    throw invalid('is not encoded in base64');
  }
  checkBlob(algorithm, data);
  return { algorithm, data, comment: comment.trim() };
}

export const fingerprintOf = (data: Uint8Array): string =>
  `SHA256:${createHash('sha256').update(data).digest('base64').replace(/=+$/, '')}`;

/** RFC 4253 (6.6), 5656 (3.1) and 8709 (4). */
function checkBlob(algorithm: string, data: Buffer): void {
  const read = fieldsOf(data);
  if (read().toString('latin1') !== algorithm)
    throw invalid(`says ${JSON.stringify(algorithm.slice(0, 40))} and holds another kind of key`);
  if (algorithm === 'ssh-ed25519') {
    if (read().length !== 32) throw invalid('is an ed25519 key of a wrong length');
  } else if (algorithm === 'ssh-rsa') {
    checkRsa(read(), read());
  } else if (Object.hasOwn(CURVES, algorithm)) {
    checkPoint(CURVES[algorithm]!, read(), read());
  } else {
    throw invalid(
      `is of the kind ${JSON.stringify(algorithm.slice(0, 40))}`,
      'Take ssh-ed25519, ecdsa-sha2-nistp256, -384, -521, or ssh-rsa of 2048 bits and more. Keys on security tokens and certificates are not offered.',
    );
  }
  if (read.rest() > 0) throw invalid('has something behind the key');
}

function checkRsa(exponent: Buffer, modulus: Buffer): void {
  for (const value of [exponent, modulus]) {
    const [first = 0, second = 0] = value;
    if (value.length === 0 || first >= 0x80 || (first === 0 && second < 0x80)) {
      throw invalid('has a number that is not written as SSH writes it');
    }
  }
  const significant = modulus[0] === 0 ? modulus.subarray(1) : modulus;
  const bits = significant.length * 8 - Math.clz32(significant[0]!) + 24;
  if (bits < SMALLEST_RSA_BITS || bits > LARGEST_RSA_BITS) {
    throw invalid(
      `is an RSA key of ${bits} bits`,
      `It must have ${SMALLEST_RSA_BITS} to ${LARGEST_RSA_BITS}.`,
    );
  }
  const last = (value: Buffer) => value[value.length - 1]! & 1;
  const small = exponent.length === 1 && exponent[0]! < 3;
  if (small || exponent.length > 8 || last(exponent) === 0 || last(modulus) === 0)
    throw invalid('is no RSA key');
}

function checkPoint(
  { curve, jwk, bytes }: { curve: string; jwk: string; bytes: number },
  name: Buffer,
  point: Buffer,
): void {
  if (name.toString('latin1') !== curve || point.length !== 1 + 2 * bytes || point[0] !== 4) {
    throw invalid(`is no key of the curve ${curve}`);
  }
  const [x, y] = [point.subarray(1, 1 + bytes), point.subarray(1 + bytes)].map((value) =>
    value.toString('base64url'),
  );
  try {
    createPublicKey({ key: { kty: 'EC', crv: jwk, x: x!, y: y! }, format: 'jwk' });
  } catch (cause) {
    throw invalid(`is not on the curve ${curve}`, undefined, cause);
  }
}

/** Reads the strings that a blob is made of, one after the other. */
function fieldsOf(data: Buffer) {
  let at = 0;
  const read = (): Buffer => {
    const length = at + 4 <= data.length ? data.readUInt32BE(at) : -1;
    if (length < 0 || at + 4 + length > data.length) throw invalid('is cut off');
    const field = data.subarray(at + 4, at + 4 + length);
    at += 4 + length;
    return field;
  };
  return Object.assign(read, { rest: () => data.length - at });
}

const invalid = (what: string, hint?: string, cause?: unknown) =>
  new SandboxError('invalid_argument', `The public key ${what}`, {
    hint: hint ?? 'ssh-keygen -t ed25519 makes a key; give the line in its .pub file.',
    ...(cause !== undefined && { cause }),
  });
