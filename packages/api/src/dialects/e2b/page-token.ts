import { SandboxError } from '@sandbox-backend/protocol';

export type Place = { startedAt: number; id: string };

/** Opaque to clients: the place in the list where the next page begins. */
export const writePageToken = (place: Place): string =>
  Buffer.from(`${place.startedAt}.${place.id}`).toString('base64url');

/** Errors: `invalid_argument` for what this server did not write. */
export function readPageToken(token: string): Place {
  const [, startedAt, id] = /^(\d{1,15})\.(.+)$/.exec(Buffer.from(token, 'base64url').toString()) ?? [];
  if (startedAt && id && /^[a-z0-9._-]{1,64}$/.test(id)) return { startedAt: Number(startedAt), id };
  throw new SandboxError('invalid_argument', 'nextToken is not a page of this list', {
    hint: 'Use the X-Next-Token header of the page before, or leave it out to begin at the start.',
  });
}
