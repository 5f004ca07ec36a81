import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { SandboxDeps } from './deps.ts';
import { endSandbox } from './kill.ts';

/** The longest that a Node timer can wait is a little more. */
const LONGEST_WAIT_MS = 24 * 86_400_000;
/** After a kill that failed. */
const RETRY_MS = 5_000;
/** How long the row of a sandbox that ended is kept, for people who look for the reason. */
const REMEMBER_MS = 86_400_000;

export type Reaper = { wake(): void; close(): void };

/**
 * Ends sandboxes whose time is over, and tries again the kills that failed. One timer, armed to the
 * next deadline: `wake` after a deadline was set. All it knows is in the rows, so a restart loses nothing.
 */
export function startReaper(deps: SandboxDeps): Reaper {
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let retryAt: number | undefined;

  const arm = () => {
    clearTimeout(timer);
    if (closed) return;
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
    if ((await Promise.all(kills)).includes(false)) {
      retryAt = deps.now() + RETRY_MS;
      arm();
    }
  };

  if (deps.rows.withState('killing').length > 0) retryAt = deps.now();
  arm();
  return {
    wake: arm,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Begins every kill that is due; each promise tells whether it came to its end, and none rejects. */
export function reap(deps: SandboxDeps): Promise<boolean>[] {
  const stuck = deps.rows.withState('killing').filter((id) => !deps.kills.has(id));
  return [...deps.rows.expired(deps.now()), ...stuck].map(async (id) => {
    try {
      await endSandbox(deps, id, 'timed out');
      return true;
    } catch (caught) {
      log('error', 'sandbox.reap', { sandboxId: id, error: SandboxError.from(caught).describe() });
      return false;
    }
  });
}
