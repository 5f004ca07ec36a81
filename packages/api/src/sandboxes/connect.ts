import { SandboxError } from '@sandbox-backend/protocol';
import type { SandboxRow } from '../db/sandboxes.ts';
import type { SandboxDeps } from './deps.ts';
import { findSandbox } from './find.ts';
import { extendTimeout } from './set-timeout.ts';

/**
 * The sandbox, running; its time to live may get longer and never gets shorter, and is left alone
 * without `timeoutSeconds`.
 *
 * Errors: `not_found`, `failed_precondition` while it is being paused or resumed, `unimplemented` when paused.
 */
export function connectSandbox(
  deps: Pick<SandboxDeps, 'rows' | 'now' | 'limits' | 'wakeReaper'>,
  teamId: string,
  id: string,
  timeoutSeconds: number | undefined,
): SandboxRow {
  const row = findSandbox(deps, teamId, id);
  if (row.state === 'paused') {
    throw new SandboxError('unimplemented', 'Resuming a paused sandbox is not supported yet', {
      hint: 'Create a new sandbox.',
    });
  }
  if (row.state !== 'running') {
    throw new SandboxError('failed_precondition', `Sandbox "${id}" is ${row.state}`, {
      hint: 'Try again shortly.',
    });
  }
  if (timeoutSeconds !== undefined) extendTimeout(deps, teamId, id, timeoutSeconds);
  return findSandbox(deps, teamId, id);
}
