import type { SandboxDeps } from './deps.ts';
import { LIVE_STATES } from './state.ts';

/** Sandboxes of all teams that hold a place on the host; a state that none is in is there with 0. */
export function countByState({ rows }: Pick<SandboxDeps, 'rows'>): Record<string, number> {
  return Object.fromEntries(LIVE_STATES.map((state) => [state, rows.withState(state).length]));
}
