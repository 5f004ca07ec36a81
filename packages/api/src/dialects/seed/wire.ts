import type { Orphan, RunningSandbox } from '@sandbox-backend/protocol';
import type { SandboxRow } from '../../db/sandboxes.ts';
import type { SandboxState } from '../../sandboxes/state.ts';
import type { SandboxInfo, State } from './messages.ts';

/** A sandbox, with what its host knows of it while it runs there. */
export const sandboxInfo = (row: SandboxRow, machine: RunningSandbox | undefined): SandboxInfo => ({
  sandboxID: row.id,
  templateID: row.template,
  ...(machine && {
    kernelVersion: machine.kernelVersion,
    pid: machine.pid,
    networkIdx: machine.slotIndex,
  }),
  // Opaque to clients, which paste it into a path; so it can carry the secret that they cannot send otherwise.
  ...(row.pathToken && { privateIP: `${row.id}.${row.pathToken}` }),
  startTime: timestamp(row.startedAt),
  enableDiffSnapshots: row.diffSnapshots,
  state: stateOf(row.state),
  metadata: wellFormed(row.metadata),
});

export const orphanInfo = (orphan: Orphan): SandboxInfo => ({
  sandboxID: orphan.sandboxId,
  templateID: orphan.template,
  ...(orphan.pid !== undefined && { pid: orphan.pid }),
  networkIdx: orphan.slotIndex,
  ...(orphan.startedAt && { startTime: timestamp(Date.parse(orphan.startedAt)) }),
  state: 'ORPHAN',
});

/** Of the visible states only; the protocol has no word for a sandbox that sleeps, and calls it stopped. */
function stateOf(state: SandboxState): State {
  switch (state) {
    case 'pausing':
      return 'SNAPSHOTTING';
    case 'paused':
    case 'resuming':
      return 'STOP';
    default:
      return 'RUNNING';
  }
}

/** Clients refuse a whole list for one text that is not UTF-8, and JSON can bring half a surrogate pair here. */
const wellFormed = (metadata: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [key.toWellFormed(), value.toWellFormed()]),
  );

const timestamp = (ms: number) => ({
  seconds: Math.floor(ms / 1000),
  nanos: Math.floor(ms % 1000) * 1_000_000,
});
