import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { isTransition, LIVE_STATES, type SandboxState, statesSeenAs } from '../sandboxes/state.ts';

/** One sandbox as the control plane knows it. Times are Unix milliseconds. */
export type SandboxRow = {
  id: string;
  teamId: string;
  template: string;
  buildId: string;
  state: SandboxState;
  metadata: Record<string, string>;
  /** When it first ran; the sort key of lists, so it never changes after that. */
  startedAt: number;
  /** When the reaper ends it. */
  endAt: number;
  envdVersion: string;
  vcpus: number;
  memoryMib: number;
  diskMib: number;
  allowInternet: boolean;
  accessToken: string | undefined;
  trafficToken: string | undefined;
  maskRequestHost: string | undefined;
  /** Follows the id in addresses that are a path; rows of an older version have none. */
  pathToken: string | undefined;
  /** As a client of the seed's protocol said; every snapshot is whole here. */
  diffSnapshots: boolean;
};

export type SandboxChange = Partial<
  Pick<SandboxRow, 'startedAt' | 'endAt' | 'buildId' | 'envdVersion' | 'vcpus' | 'memoryMib' | 'diskMib'>
> & { endedAt?: number; endReason?: string };

export type ListQuery = {
  teamId: string;
  states: readonly SandboxState[];
  order: 'asc' | 'desc';
  limit: number;
  /** Only rows that have all of these. */
  metadata?: Record<string, string>;
  startedAfter?: number;
  template?: string;
  /** The last row of the page before. */
  after?: { startedAt: number; id: string };
};

export type SandboxRows = ReturnType<typeof sandboxRows>;

/** The table of sandboxes. Prepared once; every method is one statement. */
export function sandboxRows(db: DatabaseSync) {
  const insert = db.prepare(`
    INSERT INTO sandboxes (id, team_id, template, build_id, state, metadata, started_at, end_at, envd_version,
      vcpus, memory_mib, disk_mib, allow_internet, access_token, traffic_token, mask_request_host, path_token,
      diff_snapshots)
    SELECT :id, :teamId, :template, :buildId, :state, :metadata, :startedAt, :endAt, :envdVersion,
      :vcpus, :memoryMib, :diskMib, :allowInternet, :accessToken, :trafficToken, :maskRequestHost, :pathToken,
      :diffSnapshots
    WHERE :maxLive IS NULL
      OR (SELECT count(*) FROM sandboxes WHERE state IN (SELECT value FROM json_each(:live))) < :maxLive`);
  const find = db.prepare('SELECT * FROM sandboxes WHERE id = ?');
  const move = db.prepare(`
    UPDATE sandboxes SET state = :to,
      started_at = coalesce(:startedAt, started_at), end_at = coalesce(:endAt, end_at),
      build_id = coalesce(:buildId, build_id), envd_version = coalesce(:envdVersion, envd_version),
      vcpus = coalesce(:vcpus, vcpus), memory_mib = coalesce(:memoryMib, memory_mib),
      disk_mib = coalesce(:diskMib, disk_mib),
      ended_at = coalesce(:endedAt, ended_at), end_reason = coalesce(:endReason, end_reason)
    WHERE id = :id AND state IN (SELECT value FROM json_each(:from))`);
  const setEnd = db.prepare("UPDATE sandboxes SET end_at = :endAt WHERE id = :id AND state = 'running'");
  const extendEnd = db.prepare(
    "UPDATE sandboxes SET end_at = max(end_at, :endAt) WHERE id = :id AND state = 'running'",
  );
  const list = { asc: listStatement(db, 'asc'), desc: listStatement(db, 'desc') };
  const countRunning = db.prepare(
    'SELECT count(*) AS n FROM sandboxes WHERE team_id = :teamId AND state IN (SELECT value FROM json_each(:states))',
  );
  const live = db.prepare('SELECT * FROM sandboxes WHERE state IN (SELECT value FROM json_each(?))');
  const expired = db.prepare(
    "SELECT id FROM sandboxes WHERE state = 'running' AND end_at <= ? ORDER BY end_at",
  );
  const nextEnd = db.prepare("SELECT min(end_at) AS at FROM sandboxes WHERE state = 'running'");
  const withState = db.prepare('SELECT id FROM sandboxes WHERE state = ?');
  const forgetEnded = db.prepare("DELETE FROM sandboxes WHERE id = ? AND state IN ('gone', 'failed')");
  const forget = db.prepare("DELETE FROM sandboxes WHERE state IN ('gone', 'failed') AND ended_at < ?");

  return {
    /** False when `maxLive` sandboxes hold a place already; counting and inserting are one statement. */
    insert: (row: SandboxRow, maxLive?: number): boolean =>
      insert.run({
        ...row,
        metadata: JSON.stringify(row.metadata),
        allowInternet: row.allowInternet ? 1 : 0,
        accessToken: row.accessToken ?? null,
        trafficToken: row.trafficToken ?? null,
        maskRequestHost: row.maskRequestHost ?? null,
        pathToken: row.pathToken ?? null,
        diffSnapshots: row.diffSnapshots ? 1 : 0,
        maxLive: maxLive ?? null,
        live: JSON.stringify(LIVE_STATES),
      }).changes === 1,

    find(id: string): SandboxRow | undefined {
      const row = find.get(id);
      return row && readRow(row);
    },

    /** Compare-and-set: false, and nothing has changed, when the row is in none of the `from` states. */
    move(id: string, from: readonly SandboxState[], to: SandboxState, change: SandboxChange = {}): boolean {
      for (const state of from) {
        if (!isTransition(state, to))
          throw new RangeError(`${state} → ${to} is not in the table of transitions`);
      }
      const absent = {
        startedAt: null,
        endAt: null,
        buildId: null,
        envdVersion: null,
        vcpus: null,
        memoryMib: null,
        diskMib: null,
        endedAt: null,
        endReason: null,
      };
      return move.run({ ...absent, ...change, id, to, from: JSON.stringify(from) }).changes === 1;
    },

    /** False when the sandbox does not run. */
    setEnd: (id: string, endAt: number): boolean => setEnd.run({ id, endAt }).changes === 1,
    /** Never brings the end nearer. False when the sandbox does not run. */
    extendEnd: (id: string, endAt: number): boolean => extendEnd.run({ id, endAt }).changes === 1,

    list: (query: ListQuery): SandboxRow[] =>
      list[query.order]
        .all({
          teamId: query.teamId,
          states: JSON.stringify(query.states),
          metadata: JSON.stringify(query.metadata ?? {}),
          startedAfter: query.startedAfter ?? null,
          template: query.template ?? null,
          afterStartedAt: query.after?.startedAt ?? null,
          afterId: query.after?.id ?? null,
          limit: query.limit,
        })
        .map(readRow),

    countRunning(teamId: string): number {
      const row = countRunning.get({ teamId, states: JSON.stringify(statesSeenAs(['running'])) });
      return Number(row?.n);
    },

    /** All that hold a place on the host. */
    live: (): SandboxRow[] => live.all(JSON.stringify(LIVE_STATES)).map(readRow),
    /** Ids of running sandboxes whose end has come, the longest overdue first. */
    expired: (now: number): string[] => expired.all(now).map((row) => String(row.id)),
    nextEnd(): number | undefined {
      const at = nextEnd.get()?.at;
      return typeof at === 'number' ? at : undefined;
    },
    withState: (state: SandboxState): string[] => withState.all(state).map((row) => String(row.id)),
    /** Drops the row of one that has ended, so that its id can be given again. */
    forgetEnded: (id: string): void => void forgetEnded.run(id),
    /** Drops what ended before that time. */
    forget: (endedBefore: number): void => void forget.run(endedBefore),
  };
}

/** Pages by key and not by offset: a row that comes or goes never shifts the others. */
function listStatement(db: DatabaseSync, order: 'asc' | 'desc') {
  const beyond = order === 'asc' ? '>' : '<';
  return db.prepare(`
    SELECT * FROM sandboxes
    WHERE team_id = :teamId
      AND state IN (SELECT value FROM json_each(:states))
      AND (:startedAfter IS NULL OR started_at >= :startedAfter)
      AND (:template IS NULL OR template = :template)
      AND (:afterId IS NULL OR (started_at, id) ${beyond} (:afterStartedAt, :afterId))
      AND NOT EXISTS (
        SELECT 1 FROM json_each(:metadata) AS want WHERE NOT EXISTS (
          SELECT 1 FROM json_each(metadata) AS have WHERE have.key = want.key AND have.value = want.value))
    ORDER BY started_at ${order}, id ${order}
    LIMIT :limit`);
}

const text = (value: SQLOutputValue | undefined) => (typeof value === 'string' ? value : undefined);

const readRow = (row: Record<string, SQLOutputValue>): SandboxRow => ({
  id: String(row.id),
  teamId: String(row.team_id),
  template: String(row.template),
  buildId: String(row.build_id),
  state: row.state as SandboxState,
  metadata: JSON.parse(String(row.metadata)) as Record<string, string>,
  startedAt: Number(row.started_at),
  endAt: Number(row.end_at),
  envdVersion: String(row.envd_version),
  vcpus: Number(row.vcpus),
  memoryMib: Number(row.memory_mib),
  diskMib: Number(row.disk_mib),
  allowInternet: row.allow_internet === 1,
  accessToken: text(row.access_token),
  trafficToken: text(row.traffic_token),
  maskRequestHost: text(row.mask_request_host),
  pathToken: text(row.path_token),
  diffSnapshots: row.diff_snapshots === 1,
});
