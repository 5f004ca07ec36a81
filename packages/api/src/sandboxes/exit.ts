import type { SandboxExit } from '@sandbox-backend/protocol';
import type { SandboxDeps } from './deps.ts';

/** A sandbox ended by itself: its row follows and its connections are cut. */
export function recordExit(
  deps: Pick<SandboxDeps, 'rows' | 'now' | 'endConnections'>,
  exit: SandboxExit,
): void {
  deps.rows.move(exit.sandboxId, ['running', 'pausing', 'resuming'], 'gone', {
    endedAt: deps.now(),
    endReason: exit.reason,
  });
  deps.endConnections(exit.sandboxId);
}
