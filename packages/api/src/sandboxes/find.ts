import { SandboxError } from '@sandbox-backend/protocol';
import type { SandboxRow } from '../db/sandboxes.ts';
import type { SandboxDeps } from './deps.ts';
import { visibleState } from './state.ts';

/** The text is the protocol's; clients show it. One text for absent and for another team's. */
export const noSuchSandbox = (id: string) =>
  new SandboxError('not_found', `Sandbox "${id}" doesn't exist or you don't have access to it`);

/** A sandbox that the team can see. Errors: `not_found`. */
export function findSandbox(deps: Pick<SandboxDeps, 'rows'>, teamId: string, id: string): SandboxRow {
  const row = deps.rows.find(id);
  if (row && row.teamId === teamId && visibleState(row.state)) return row;
  throw noSuchSandbox(id);
}

/** A sandbox whose guest can be asked. Errors: `not_found`, `failed_precondition` while it is paused. */
export function findRunning(deps: Pick<SandboxDeps, 'rows'>, teamId: string, id: string): SandboxRow {
  const row = findSandbox(deps, teamId, id);
  if (row.state === 'running') return row;
  throw new SandboxError('failed_precondition', `Sandbox "${id}" is ${row.state}`, {
    hint: 'Connect to it first, which resumes it.',
  });
}
