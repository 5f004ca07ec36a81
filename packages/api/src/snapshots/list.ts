import type { SnapshotRow } from '../db/snapshots.ts';
import type { SandboxDeps } from '../sandboxes/deps.ts';

export type SnapshotPage = {
  snapshots: SnapshotRow[];
  /** The place where the next page begins; undefined at the end. */
  next: { createdAt: number; name: string } | undefined;
};

/** A page of the team's snapshots, newest first. */
export function listSnapshots(
  deps: Pick<SandboxDeps, 'snapshots'>,
  teamId: string,
  spec: Omit<Parameters<SandboxDeps['snapshots']['list']>[0], 'teamId'>,
): SnapshotPage {
  const found = deps.snapshots.list({ ...spec, teamId, limit: spec.limit + 1 });
  const snapshots = found.slice(0, spec.limit);
  const last = found.length > spec.limit ? snapshots.at(-1) : undefined;
  return { snapshots, next: last && { createdAt: last.createdAt, name: last.name } };
}
