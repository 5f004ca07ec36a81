import { SandboxError } from '@sandbox-backend/protocol';
import type { Guest } from '../guest.ts';
import { hasToken } from '../http/authorize.ts';
import { sameText } from '../http/same-text.ts';
import { sha256 } from '../runtime.ts';

export type Operation = 'read' | 'write';

/** What a URL that needs no header carries: proof that who made it knew the token of the sandbox. */
export function signatureOf(
  path: string,
  operation: Operation,
  username: string,
  token: string,
  expiration?: string,
): string {
  const raw = `${path}:${operation}:${username}:${token}${expiration === undefined ? '' : `:${expiration}`}`;
  return `v1_${sha256(raw).replace(/=+$/, '')}`;
}

/** A file may be had with the token, or with a signature of just this path, operation and user. */
export function authorizeFile(
  guest: Guest,
  request: Request,
  query: URLSearchParams,
  operation: Operation,
): void {
  const { accessToken } = guest.identity;
  if (accessToken === undefined || hasToken(guest, request)) return;
  const given = query.get('signature');
  if (request.headers.has('x-access-token') && given === null) {
    throw new SandboxError('unauthenticated', 'unauthorized access, please provide a valid access token');
  }
  if (given === null) throw new SandboxError('unauthenticated', 'missing signature query parameter');
  const expiration = query.get('signature_expiration') ?? undefined;
  const expected = signatureOf(
    query.get('path') ?? '',
    operation,
    query.get('username') ?? '',
    accessToken,
    expiration,
  );
  if (!sameText(given.replace(/=+$/, ''), expected))
    throw new SandboxError('unauthenticated', 'invalid signature');
  if (expiration !== undefined && !(Number(expiration) >= Date.now() / 1000)) {
    throw new SandboxError('unauthenticated', 'signature is already expired');
  }
}
