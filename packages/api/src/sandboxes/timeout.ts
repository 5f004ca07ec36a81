import { SandboxError } from '@sandbox-backend/protocol';
import type { SandboxLimits } from './deps.ts';

/** The largest count of seconds in the protocol (int32), 68 years. */
const LARGEST_SECONDS = 2 ** 31 - 1;

/** Checks a time to live against the protocol and the server's configuration; `atLeast` is 0 where "now" is meant. */
export function checkTimeout(
  seconds: number,
  limits: Pick<SandboxLimits, 'maxTimeoutSeconds'>,
  { atLeast = 1 }: { atLeast?: 0 | 1 } = {},
): number {
  const most = Math.min(limits.maxTimeoutSeconds ?? LARGEST_SECONDS, LARGEST_SECONDS);
  if (Number.isInteger(seconds) && seconds >= atLeast && seconds <= most) return seconds;
  const configured = most < LARGEST_SECONDS ? ' This server is configured with that maximum.' : '';
  throw new SandboxError(
    'invalid_argument',
    `timeout is ${seconds}, which is not a time to live in seconds`,
    {
      hint: `Give a whole number from ${atLeast} to ${most}.${configured}`,
    },
  );
}
