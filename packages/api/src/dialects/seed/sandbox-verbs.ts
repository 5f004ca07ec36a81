import type { Operation } from '@sandbox-backend/kit';
import { checkSandboxId, SandboxError } from '@sandbox-backend/protocol';
import { purgeOrphans } from '../../host/purge.ts';
import { createSandbox } from '../../sandboxes/create.ts';
import { deactivateSandbox } from '../../sandboxes/deactivate.ts';
import type { SandboxDeps } from '../../sandboxes/deps.ts';
import { findSandbox } from '../../sandboxes/find.ts';
import { killSandbox } from '../../sandboxes/kill.ts';
import { listSandboxes } from '../../sandboxes/list.ts';
import { createSnapshot } from '../../snapshots/create.ts';
import { createSpec } from './create-spec.ts';
import type {
  CreateRequest,
  IdRequest,
  ListRequest,
  PurgeRequest,
  SandboxInfo,
  SnapshotRequest,
} from './messages.ts';
import { orphanInfo, sandboxInfo } from './wire.ts';

/** More than one host carries; the protocol's list has no pages. */
const ALL = 100_000;

/** The methods of the service `Sandbox`, on the sandboxes of one team. */
export function sandboxVerbs(deps: SandboxDeps, teamId: string) {
  const info = (id: string): SandboxInfo => sandboxInfo(findSandbox(deps, teamId, id), deps.node.find(id));

  return {
    async Create(op: Operation, request: CreateRequest) {
      const spec = await createSpec(deps, teamId, request);
      const row = await createSandbox(op, deps, teamId, spec);
      return { info: sandboxInfo(row, deps.node.find(row.id)) };
    },

    async List(_op: Operation, request: ListRequest) {
      if (request.orphan) return { sandboxes: (await deps.node.listOrphans()).map(orphanInfo) };
      const { sandboxes } = listSandboxes(deps, teamId, {
        states: request.running ? ['running'] : ['running', 'paused'],
        order: 'asc',
        limit: ALL,
      });
      const all = sandboxes.map((row) => sandboxInfo(row, deps.node.find(row.id)));
      return { sandboxes: request.running ? all.filter(({ state }) => state === 'RUNNING') : all };
    },

    async Delete(_op: Operation, { sandboxID }: IdRequest) {
      await killSandbox(deps, teamId, checkSandboxId(sandboxID));
      return {};
    },

    async Deactive(op: Operation, { sandboxID }: IdRequest) {
      const { beforeBytes, afterBytes } = await deactivateSandbox(
        op,
        deps,
        teamId,
        checkSandboxId(sandboxID),
      );
      return { reclaimedBytes: Math.max(0, beforeBytes - afterBytes), beforeBytes, afterBytes };
    },

    async Snapshot(op: Operation, { sandboxID, name, ...request }: SnapshotRequest) {
      const id = checkSandboxId(sandboxID);
      const made = await createSnapshot(op, deps, teamId, id, { name: name || undefined });
      if (request.delete) await killSandbox(deps, teamId, id).catch(unlessGone);
      return { path: made.directory, name: made.name };
    },

    async Search(_op: Operation, { sandboxID }: IdRequest) {
      checkSandboxId(sandboxID);
      try {
        return { sandbox: info(sandboxID) };
      } catch (caught) {
        unlessGone(caught);
        return {};
      }
    },

    async Purge(op: Operation, { purgeAll, SandboxIDs }: PurgeRequest) {
      if (!purgeAll && SandboxIDs.length === 0) {
        throw new SandboxError('invalid_argument', 'Which orphan?', {
          hint: 'Give SandboxIDs, or purgeAll for every one.',
        });
      }
      const gone = await purgeOrphans(op, deps, purgeAll ? undefined : SandboxIDs);
      const msg = gone.length === 0 ? 'there was no orphan' : `purged ${gone.join(', ')}`;
      return { success: true, msg };
    },
  };
}

function unlessGone(caught: unknown): void {
  if (caught instanceof SandboxError && caught.code === 'not_found') return;
  throw caught;
}
