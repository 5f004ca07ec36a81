import { randomUUID } from 'node:crypto';
import { SandboxError } from '@sandbox-backend/protocol';
import type { SshKeyRow, SshKeyRows } from '../db/ssh-keys.ts';
import { fingerprintOf, parsePublicKey } from './parse-public-key.ts';

export type SshKeyDeps = { sshKeys: SshKeyRows; now(): number };

const MAX_KEYS = 1000;

/**
 * Lets the holder of the key into every sandbox of the team. Errors: `invalid_argument`, `already_exists`,
 * `resource_exhausted`.
 */
export function addSshKey(
  deps: SshKeyDeps,
  teamId: string,
  given: { name?: string | undefined; publicKey: string },
): SshKeyRow {
  const { algorithm, data, comment } = parsePublicKey(given.publicKey);
  const fingerprint = fingerprintOf(data);
  if (deps.sshKeys.find(teamId, fingerprint)) {
    throw new SandboxError('already_exists', `The key ${fingerprint} is registered already`);
  }
  const row: SshKeyRow = {
    id: randomUUID(),
    teamId,
    name: given.name || comment.slice(0, 100) || 'key',
    publicKey: `${algorithm} ${data.toString('base64')}`,
    fingerprint,
    createdAt: deps.now(),
  };
  if (!deps.sshKeys.insert(row, MAX_KEYS)) {
    throw new SandboxError('resource_exhausted', `There are ${MAX_KEYS} SSH keys already`, {
      hint: 'Remove those that are not used.',
    });
  }
  return row;
}

export const listSshKeys = (deps: SshKeyDeps, teamId: string): SshKeyRow[] => deps.sshKeys.list(teamId);

/** The key opens no more sessions; those that it opened go on. Errors: `not_found`. */
export function removeSshKey(deps: SshKeyDeps, teamId: string, id: string): void {
  if (!deps.sshKeys.remove(teamId, id)) {
    throw new SandboxError('not_found', 'There is no such SSH key');
  }
}
