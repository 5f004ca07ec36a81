import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';

/** A public key by which a team's people enter its sandboxes. Times are Unix milliseconds. */
export type SshKeyRow = {
  id: string;
  teamId: string;
  name: string;
  /** Algorithm and base64, without a comment. */
  publicKey: string;
  /** As OpenSSH prints it: `SHA256:` and base64. */
  fingerprint: string;
  createdAt: number;
};

export type SshKeyRows = ReturnType<typeof sshKeyRows>;

export function sshKeyRows(db: DatabaseSync) {
  const insert = db.prepare(`
    INSERT INTO ssh_keys (id, team_id, name, public_key, fingerprint, created_at)
    SELECT :id, :teamId, :name, :publicKey, :fingerprint, :createdAt
    WHERE (SELECT COUNT(*) FROM ssh_keys WHERE team_id = :teamId) < :most`);
  const find = db.prepare('SELECT * FROM ssh_keys WHERE team_id = ? AND fingerprint = ?');
  const list = db.prepare('SELECT * FROM ssh_keys WHERE team_id = ? ORDER BY created_at, id');
  const remove = db.prepare('DELETE FROM ssh_keys WHERE team_id = ? AND id = ?');

  return {
    /** False when the team has `most` keys already. */
    insert: (row: SshKeyRow, most: number): boolean => insert.run({ ...row, most }).changes === 1,
    find(teamId: string, fingerprint: string): SshKeyRow | undefined {
      const row = find.get(teamId, fingerprint);
      return row && readRow(row);
    },
    list: (teamId: string): SshKeyRow[] => list.all(teamId).map(readRow),
    remove: (teamId: string, id: string): boolean => remove.run(teamId, id).changes === 1,
  };
}

export type SshTokenRows = ReturnType<typeof sshTokenRows>;

/** Tokens of sandboxes; of a token only the SHA-256 is kept. */
export function sshTokenRows(db: DatabaseSync) {
  const prune = db.prepare('DELETE FROM ssh_tokens WHERE expires_at <= ?');
  const insert = db.prepare('INSERT INTO ssh_tokens (sha256, sandbox_id, expires_at) VALUES (?, ?, ?)');
  const find = db.prepare('SELECT sandbox_id, expires_at FROM ssh_tokens WHERE sha256 = ?');

  return {
    insert(token: { sha256: Uint8Array; sandboxId: string; expiresAt: number }, now: number): void {
      prune.run(now);
      insert.run(token.sha256, token.sandboxId, token.expiresAt);
    },
    find(sha256: Uint8Array): { sandboxId: string; expiresAt: number } | undefined {
      const row = find.get(sha256);
      return row && { sandboxId: String(row.sandbox_id), expiresAt: Number(row.expires_at) };
    },
  };
}

const readRow = (row: Record<string, SQLOutputValue>): SshKeyRow => ({
  id: String(row.id),
  teamId: String(row.team_id),
  name: String(row.name),
  publicKey: String(row.public_key),
  fingerprint: String(row.fingerprint),
  createdAt: Number(row.created_at),
});
