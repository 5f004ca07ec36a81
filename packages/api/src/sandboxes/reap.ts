import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { SandboxDeps } from './deps.ts';
import { endSandbox } from './kill.ts';

/** The longest that a Node timer can wait is a little more. */
const LONGEST_WAIT_MS = 24 * 86_400_000;
/** After a kill that failed. */
const RETRY_MS = 2_000;
/** How long the row of a sandbox that ended is kept, for people who look for the reason. */
const REMEMBER_MS = 86_400_000;

export type Reaper = { wake(): void; close(): void };

/**
 * Ends sandboxes whose time is over, and tries again the kills that failed. One timer, armed to the
 * next deadline: `wake` after a deadline was set or a kill failed. All it knows is in the rows, so a restart loses nothing.
 */
export function startReaper(deps: SandboxDeps): Reaper {
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let retryAt: number | undefined;

  const arm = () => {
    clearTimeout(timer);
    if (closed) return;
    if (stuckKills(deps).length > 0) retryAt ??= deps.now() + RETRY_MS;
    const due = Math.min(deps.rows.nextEnd() ?? Infinity, retryAt ?? Infinity);
    if (due === Infinity) return;
    const waitMs = Math.max(0, Math.min(due - deps.now(), LONGEST_WAIT_MS));
    timer = setTimeout(() => void pass(), waitMs);
  };

  const pass = async () => {
    retryAt = undefined;
    deps.rows.forget(deps.now() - REMEMBER_MS);
    // The rows leave `running` at once; a kill that takes long holds up none of the others.
    const kills = reap(deps);
    arm();
    await Promise.all(kills);
    arm();
  };

  arm();
  return {
    wake: arm,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Begins every kill that is due; the promises never reject: a kill that failed is due again. */
export function reap(deps: SandboxDeps): Promise<void>[] {
  return [...deps.rows.expired(deps.now()), ...stuckKills(deps)].map(async (id) => {
    try {
      await endSandbox(deps, id, 'timed out');
    } catch (caught) {
      log('error', 'sandbox.reap', { sandboxId: id, error: SandboxError.from(caught).describe() });
    }
  });
}

/** Sandboxes that were to be killed, and nobody is at it. */
const stuckKills = (deps: SandboxDeps) => deps.rows.withState('killing').filter((id) => !deps.kills.has(id));
