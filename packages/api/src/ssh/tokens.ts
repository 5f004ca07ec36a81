import { createHash, randomBytes } from 'node:crypto';
import { SandboxError } from '@sandbox-backend/protocol';
import type { SandboxRow } from '../db/sandboxes.ts';
import type { SshTokenRows } from '../db/ssh-keys.ts';
import type { SandboxDeps } from '../sandboxes/deps.ts';
import { findSandbox } from '../sandboxes/find.ts';

export type SshTokenDeps = Pick<SandboxDeps, 'rows' | 'now'> & { sshTokens: SshTokenRows };

const DEFAULT_TTL_SECONDS = 600;
const LONGEST_TTL_SECONDS = 86_400;

export type SshToken = { token: string; expiresAt: number };

/**
 * A password for one sandbox, for so many seconds. It is readable in this answer and never again.
 * Errors: `invalid_argument`, `not_found`.
 */
export function createSshToken(
  deps: SshTokenDeps,
  teamId: string,
  sandboxId: string,
  ttlSeconds: number = DEFAULT_TTL_SECONDS,
): SshToken {
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > LONGEST_TTL_SECONDS) {
    throw new SandboxError('invalid_argument', `ttlSeconds is 1 to ${LONGEST_TTL_SECONDS} seconds`);
  }
  const row = findSandbox(deps, teamId, sandboxId);
  const token = `ssh_${randomBytes(20).toString('hex')}`;
  const expiresAt = deps.now() + ttlSeconds * 1000;
  deps.sshTokens.insert({ sha256: hashSshToken(row, token), sandboxId, expiresAt }, deps.now());
  return { token, expiresAt };
}

/** The path token is another one for every sandbox, also for one that has the id of one that has ended. */
export const hashSshToken = (row: Pick<SandboxRow, 'pathToken'> | undefined, token: string): Buffer =>
  createHash('sha256')
    .update(`${row?.pathToken ?? ''} ${token}`)
    .digest();
