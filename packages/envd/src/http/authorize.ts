import { SandboxError } from '@sandbox-backend/protocol';
import type { Guest } from '../guest.ts';
import type { Peer } from '../runtime.ts';
import { sameText } from './same-text.ts';

/** The host's end of the guest's only link. Nobody else can send from it but the guest's own root. */
const HOST_ADDRESS = '169.254.0.22';

export function hasToken(guest: Guest, request: Request): boolean {
  const { accessToken } = guest.identity;
  if (accessToken === undefined) return true;
  const given = request.headers.get('x-access-token');
  return given !== null && sameText(given, accessToken);
}

export function requireToken(guest: Guest, request: Request): void {
  if (!hasToken(guest, request)) {
    throw new SandboxError('unauthenticated', 'unauthorized access, please provide a valid access token');
  }
}

/**
 * Orders for envd itself come from the host. The guest's own programs may give them only while it has
 * no token yet, or with the token: a program of the guest cannot give the sandbox another identity.
 */
export function requireHost(guest: Guest, request: Request, peer: Peer): void {
  const address = peer(request).replace(/^::ffff:/, '');
  if (address === HOST_ADDRESS) return;
  if (address !== '127.0.0.1' && address !== '::1') {
    throw new SandboxError('permission_denied', 'only the host may ask for this');
  }
  requireToken(guest, request);
}
