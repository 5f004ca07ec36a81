import { timingSafeEqual } from 'node:crypto';
import { SandboxError } from '@sandbox-backend/protocol';
import type { KeyRows, Team } from '../db/keys.ts';
import { hashKey, isApiKey } from './keys.ts';

/**
 * The team that the key belongs to. Errors: `unauthenticated`, with one text for an unknown and a
 * revoked key.
 */
export function authenticate(keys: Pick<KeyRows, 'findByHash'>, key: string | undefined): Team {
  if (!key) {
    throw new SandboxError('unauthenticated', 'The request carries no API key', {
      hint: 'Send it as the header X-API-KEY; the SDKs take it from E2B_API_KEY. `sandbox-cli env` prints it on the server.',
    });
  }
  const hash = hashKey(key);
  const found = isApiKey(key) ? keys.findByHash(hash) : undefined;
  if (found && !found.revoked && timingSafeEqual(found.sha256, hash)) return found.team;
  throw new SandboxError('unauthenticated', 'The API key is not valid here', {
    hint: 'Check E2B_API_KEY and that E2B_API_URL points to this server. `sandbox-cli env` prints both on the server.',
  });
}
