import type { Guest } from '../guest.ts';
import type { User } from './users.ts';

/** Who acts: the user of `Authorization: Basic base64(user:)`, else the default user of the sandbox. */
export function callerOf(guest: Guest, request: Request): User {
  const header = request.headers.get('authorization');
  let name = '';
  if (header?.slice(0, 6).toLowerCase() === 'basic ') {
    const text = Buffer.from(header.slice(6).trim(), 'base64').toString('utf8');
    const colon = text.indexOf(':');
    name = colon < 0 ? text : text.slice(0, colon);
  }
  return guest.users.find(name || guest.identity.defaultUser);
}
