import type { DatabaseSync } from 'node:sqlite';
import { SandboxError } from '@sandbox-backend/protocol';

/** In order; a published one never changes. `user_version` counts those that ran. */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE teams (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES teams(id),
    name TEXT NOT NULL,
    sha256 BLOB NOT NULL UNIQUE,
    mask TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
  ) STRICT;

  CREATE TABLE sandboxes (
    id TEXT PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES teams(id),
    template TEXT NOT NULL,
    build_id TEXT NOT NULL,
    state TEXT NOT NULL,
    metadata TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    end_at INTEGER NOT NULL,
    envd_version TEXT NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    disk_mib INTEGER NOT NULL,
    allow_internet INTEGER NOT NULL,
    access_token TEXT,
    traffic_token TEXT,
    mask_request_host TEXT,
    ended_at INTEGER,
    end_reason TEXT
  ) STRICT;
  CREATE INDEX sandboxes_by_deadline ON sandboxes (state, end_at);
  CREATE INDEX sandboxes_by_team ON sandboxes (team_id, started_at, id);
  `,
  `
  -- Part of a sandbox's address where the path is all that a client can send.
  ALTER TABLE sandboxes ADD COLUMN path_token TEXT;
  -- Said by clients of the seed's protocol, and said back.
  ALTER TABLE sandboxes ADD COLUMN diff_snapshots INTEGER NOT NULL DEFAULT 0;

  CREATE TABLE snapshots (
    name TEXT PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES teams(id),
    sandbox_id TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX snapshots_by_team ON snapshots (team_id, created_at, name);

  CREATE TABLE ssh_keys (
    id TEXT PRIMARY KEY,
    team_id TEXT NOT NULL REFERENCES teams(id),
    name TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (team_id, fingerprint)
  ) STRICT;

  CREATE TABLE ssh_tokens (
    sha256 BLOB PRIMARY KEY,
    sandbox_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT;
  `,
];

/** Brings the schema up to date, each step whole or not at all. */
export function migrate(db: DatabaseSync, migrations = MIGRATIONS): void {
  const { user_version: done } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (done > migrations.length) {
    throw new SandboxError(
      'failed_precondition',
      `The database has schema ${done}, this server knows ${migrations.length}`,
      {
        hint: 'It was used by a newer version. Start that version, or restore a copy of the database from before.',
      },
    );
  }
  for (const [index, sql] of migrations.entries()) {
    if (index < done) continue;
    db.exec('BEGIN IMMEDIATE');
    try {
      db.exec(sql);
      db.exec(`PRAGMA user_version = ${index + 1}`);
      db.exec('COMMIT');
    } catch (caught) {
      db.exec('ROLLBACK');
      throw caught;
    }
  }
}
