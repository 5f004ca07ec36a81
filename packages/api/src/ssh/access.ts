import type { SshKeyRows } from '../db/ssh-keys.ts';
import { visibleState } from '../sandboxes/state.ts';
import { fingerprintOf } from './parse-public-key.ts';
import { hashSshToken, type SshTokenDeps } from './tokens.ts';

/** Whom the SSH door lets in. */
export type SshAccess = {
  /** Whether the key is one of the sandbox's owner. */
  hasKey(sandboxId: string, key: { algorithm: string; data: Buffer }): boolean;
  hasToken(sandboxId: string, token: string): boolean;
};

const NO_TEAM = '';

/** Both do the same work for a sandbox that there is not. */
export function sshAccess(deps: SshTokenDeps & { sshKeys: SshKeyRows }): SshAccess {
  const find = (sandboxId: string) => {
    const row = deps.rows.find(sandboxId);
    return row && visibleState(row.state) ? row : undefined;
  };
  return {
    hasKey(sandboxId, { data }) {
      return deps.sshKeys.find(find(sandboxId)?.teamId ?? NO_TEAM, fingerprintOf(data)) !== undefined;
    },
    hasToken(sandboxId, token) {
      const row = find(sandboxId);
      const found = deps.sshTokens.find(hashSshToken(row, token));
      return row !== undefined && found?.sandboxId === sandboxId && found.expiresAt > deps.now();
    },
  };
}
