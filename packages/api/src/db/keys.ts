import type { DatabaseSync } from 'node:sqlite';

export type Team = { id: string; name: string };

export type KeyRow = {
  id: string;
  teamId: string;
  name: string;
  /** First and last characters, for people to tell keys apart. */
  mask: string;
  createdAt: number;
  revokedAt: number | undefined;
};

export type KeyRows = ReturnType<typeof keyRows>;

/** Teams and their API keys; of a key only the SHA-256 is kept. */
export function keyRows(db: DatabaseSync) {
  const insertTeam = db.prepare('INSERT INTO teams (id, name, created_at) VALUES (?, ?, ?)');
  const findTeam = db.prepare('SELECT id, name FROM teams WHERE name = ?');
  const insert = db.prepare(
    'INSERT INTO api_keys (id, team_id, name, sha256, mask, created_at) VALUES (:id, :teamId, :name, :sha256, :mask, :createdAt)',
  );
  const findByHash = db.prepare(`
    SELECT api_keys.sha256, api_keys.revoked_at, teams.id, teams.name
    FROM api_keys JOIN teams ON teams.id = api_keys.team_id WHERE api_keys.sha256 = ?`);
  const list = db.prepare('SELECT * FROM api_keys WHERE team_id = ? ORDER BY created_at, id');
  const revoke = db.prepare(
    'UPDATE api_keys SET revoked_at = :now WHERE id = :id AND team_id = :teamId AND revoked_at IS NULL',
  );

  return {
    insertTeam: (team: Team, now: number): void => void insertTeam.run(team.id, team.name, now),

    findTeam(name: string): Team | undefined {
      const row = findTeam.get(name);
      return row && { id: String(row.id), name: String(row.name) };
    },

    insert: (key: Omit<KeyRow, 'revokedAt'> & { sha256: Uint8Array }): void => void insert.run({ ...key }),

    findByHash(sha256: Uint8Array): { sha256: Uint8Array; revoked: boolean; team: Team } | undefined {
      const row = findByHash.get(sha256);
      if (!row) return undefined;
      return {
        sha256: row.sha256 as Uint8Array,
        revoked: row.revoked_at !== null,
        team: { id: String(row.id), name: String(row.name) },
      };
    },

    list: (teamId: string): KeyRow[] =>
      list.all(teamId).map((row) => ({
        id: String(row.id),
        teamId: String(row.team_id),
        name: String(row.name),
        mask: String(row.mask),
        createdAt: Number(row.created_at),
        revokedAt: row.revoked_at === null ? undefined : Number(row.revoked_at),
      })),

    revoke: (teamId: string, id: string, now: number): boolean =>
      revoke.run({ teamId, id, now }).changes === 1,
  };
}
