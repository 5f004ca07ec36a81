import type { Guest } from '../guest.ts';
import { callerOf } from '../users/caller.ts';
import type { User } from '../users/users.ts';

/** `username` of the query, which a signed URL has, before the caller of the request. */
export function fileUser(guest: Guest, request: Request, username: string | null): User {
  return username ? guest.users.find(username) : callerOf(guest, request);
}
