import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';

/** Whose a snapshot is; the snapshot itself is a build on the node, under the same name. Times are Unix milliseconds. */
export type SnapshotRow = { name: string; teamId: string; sandboxId: string; createdAt: number };

export type SnapshotRows = ReturnType<typeof snapshotRows>;

export function snapshotRows(db: DatabaseSync) {
  const insert = db.prepare(`
    INSERT INTO snapshots (name, team_id, sandbox_id, created_at) VALUES (:name, :teamId, :sandboxId, :createdAt)
    ON CONFLICT (name) DO NOTHING`);
  const update = db.prepare(
    'UPDATE snapshots SET sandbox_id = :sandboxId, created_at = :createdAt WHERE name = :name AND team_id = :teamId',
  );
  const find = db.prepare('SELECT * FROM snapshots WHERE name = ?');
  const list = db.prepare(`
    SELECT * FROM snapshots
    WHERE team_id = :teamId AND (:sandboxId IS NULL OR sandbox_id = :sandboxId) AND (:name IS NULL OR name = :name)
      AND (:afterName IS NULL OR (created_at, name) < (:afterCreatedAt, :afterName))
    ORDER BY created_at DESC, name DESC LIMIT :limit`);
  const all = db.prepare('SELECT * FROM snapshots');
  const remove = db.prepare('DELETE FROM snapshots WHERE name = ?');

  return {
    /** False when there is a snapshot of this name already. */
    insert: (row: SnapshotRow): boolean => insert.run(row).changes === 1,
    /** For one that is made anew under its name. */
    update: (row: SnapshotRow): void => void update.run(row),
    find(name: string): SnapshotRow | undefined {
      const row = find.get(name);
      return row && readRow(row);
    },
    /** Newest first. */
    list: (query: {
      teamId: string;
      limit: number;
      sandboxId?: string | undefined;
      name?: string | undefined;
      after?: { createdAt: number; name: string } | undefined;
    }): SnapshotRow[] =>
      list
        .all({
          teamId: query.teamId,
          limit: query.limit,
          sandboxId: query.sandboxId ?? null,
          name: query.name ?? null,
          afterCreatedAt: query.after?.createdAt ?? null,
          afterName: query.after?.name ?? null,
        })
        .map(readRow),
    all: (): SnapshotRow[] => all.all().map(readRow),
    remove: (name: string): void => void remove.run(name),
  };
}

const readRow = (row: Record<string, SQLOutputValue>): SnapshotRow => ({
  name: String(row.name),
  teamId: String(row.team_id),
  sandboxId: String(row.sandbox_id),
  createdAt: Number(row.created_at),
});
