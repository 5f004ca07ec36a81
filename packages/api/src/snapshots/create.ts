import { type Operation, randomId } from '@sandbox-backend/kit';
import { checkTemplateName, SandboxError, type SnapshotResult } from '@sandbox-backend/protocol';
import type { SnapshotRow } from '../db/snapshots.ts';
import type { SandboxDeps } from '../sandboxes/deps.ts';
import { findRunning } from '../sandboxes/find.ts';
import { reserveName } from './reserve.ts';

/**
 * Makes a snapshot of a running sandbox, which stands still meanwhile and goes on after it. Sandboxes are started
 * from it like from a template of its name; a snapshot of the same name and owner is replaced.
 *
 * The row says whose it is before its files are under their name, so that nobody else can ever start it.
 *
 * Errors: `not_found`, `failed_precondition` (paused, or the name is being made or deleted), `already_exists` (the name is a template's, or another
 * team's), `invalid_argument` (the name), and those of the node.
 */
export function createSnapshot(
  op: Operation,
  deps: SandboxDeps,
  teamId: string,
  sandboxId: string,
  request: { name?: string | undefined } = {},
): Promise<SnapshotRow & SnapshotResult> {
  return op.observe('sandbox.snapshot', () => create(op, deps, teamId, sandboxId, request));
}

async function create(
  op: Operation,
  deps: SandboxDeps,
  teamId: string,
  sandboxId: string,
  request: { name?: string | undefined },
): Promise<SnapshotRow & SnapshotResult> {
  const { template } = findRunning(deps, teamId, sandboxId);
  Object.assign(op.attributes, { sandbox: sandboxId, template, team: teamId });
  const name = request.name === undefined ? randomId('snapshot-') : checkTemplateName(request.name);
  op.attributes.snapshot = name;
  using _name = reserveName(deps.snapshots, name);
  const row: SnapshotRow = { name, teamId, sandboxId, createdAt: deps.now() };
  const known = deps.snapshots.find(name);
  const taken = await deps.node.findTemplate(name);
  if ((known && known.teamId !== teamId) || (taken && !taken.manifest.snapshotOf)) throw nameTaken(name);
  // Files without a row are nobody's; they must not become this team's with it.
  if (taken && !known) await deps.node.deleteTemplate(op, name);
  const isNew = deps.snapshots.insert(row);
  try {
    const made = await op.phase('snapshot', () => deps.node.snapshot(op, sandboxId, { name }));
    if (!isNew) deps.snapshots.update(row);
    return { ...row, ...made };
  } catch (caught) {
    if (isNew) deps.snapshots.remove(name);
    throw caught;
  }
}

const nameTaken = (name: string) =>
  new SandboxError('already_exists', `The name ${name} is taken`, { hint: 'Choose another name.' });
