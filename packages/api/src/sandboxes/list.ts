import type { ListQuery, SandboxRow } from '../db/sandboxes.ts';
import type { SandboxDeps } from './deps.ts';
import { statesSeenAs } from './state.ts';

export type ListSpec = Omit<ListQuery, 'teamId' | 'states'> & { states: readonly ('running' | 'paused')[] };

export type Page = {
  sandboxes: SandboxRow[];
  /** The place where the next page begins; undefined at the end. */
  next: { startedAt: number; id: string } | undefined;
  /** Running sandboxes of the team, on this page or not. */
  totalRunning: number;
};

/** A page of the team's sandboxes by the time they started; sandboxes that come or go never shift it. */
export function listSandboxes(deps: Pick<SandboxDeps, 'rows'>, teamId: string, spec: ListSpec): Page {
  const { states, ...rest } = spec;
  const found = deps.rows.list({ ...rest, teamId, states: statesSeenAs(states), limit: spec.limit + 1 });
  const sandboxes = found.slice(0, spec.limit);
  const last = found.length > spec.limit ? sandboxes.at(-1) : undefined;
  return {
    sandboxes,
    next: last && { startedAt: last.startedAt, id: last.id },
    totalRunning: deps.rows.countRunning(teamId),
  };
}
