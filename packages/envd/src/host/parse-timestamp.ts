import { SandboxError } from '@sandbox-backend/protocol';

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/i;

/** Nanoseconds since 1970 of an RFC 3339 time with up to nine digits of fraction; undefined for ''. */
export function parseTimestamp(text: string): bigint | undefined {
  if (text === '') return undefined;
  const [, seconds, fraction = '', zone] = RFC3339.exec(text) ?? [];
  const ms = seconds === undefined ? Number.NaN : Date.parse(`${seconds}${zone}`.toUpperCase());
  if (Number.isNaN(ms))
    throw new SandboxError('invalid_argument', `timestamp is not an RFC 3339 time: ${text}`);
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
