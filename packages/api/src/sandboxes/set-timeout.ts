import type { SandboxDeps } from './deps.ts';
import { findRunning, noSuchSandbox } from './find.ts';
import { checkTimeout } from './timeout.ts';

type Deps = Pick<SandboxDeps, 'rows' | 'now' | 'limits' | 'wakeReaper'>;

/** The sandbox ends that many seconds from now; 0 ends it at once. Errors: `invalid_argument`, `not_found`. */
export function setTimeoutOf(deps: Deps, teamId: string, id: string, seconds: number): void {
  checkTimeout(seconds, deps.limits, { atLeast: 0 });
  findRunning(deps, teamId, id);
  if (!deps.rows.setEnd(id, deps.now() + seconds * 1000)) throw noSuchSandbox(id);
  deps.wakeReaper();
}

/** The sandbox lives at least that many seconds from now. Errors: `invalid_argument`, `not_found`. */
export function extendTimeout(deps: Deps, teamId: string, id: string, seconds: number): void {
  checkTimeout(seconds, deps.limits, { atLeast: 0 });
  findRunning(deps, teamId, id);
  if (!deps.rows.extendEnd(id, deps.now() + seconds * 1000)) throw noSuchSandbox(id);
  deps.wakeReaper();
}
