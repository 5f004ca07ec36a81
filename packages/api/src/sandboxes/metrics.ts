import type { Call, SandboxMetrics } from '@sandbox-backend/protocol';
import { SandboxError } from '@sandbox-backend/protocol';
import type { SandboxDeps } from './deps.ts';
import { findRunning } from './find.ts';

type Deps = Pick<SandboxDeps, 'rows' | 'node'>;

/** What the sandbox uses now. Errors: `not_found`, `failed_precondition` when paused, and those of the node. */
export async function sandboxMetrics(
  call: Call,
  deps: Deps,
  teamId: string,
  id: string,
): Promise<SandboxMetrics> {
  findRunning(deps, teamId, id);
  return deps.node.metrics(call, id);
}

/** The same for many; a sandbox that is unknown, paused or does not answer is left out. */
export async function metricsOfMany(
  call: Call,
  deps: Deps,
  teamId: string,
  ids: readonly string[],
): Promise<Map<string, SandboxMetrics>> {
  const answers = await Promise.all(
    ids.map(async (id) => {
      try {
        return [id, await sandboxMetrics(call, deps, teamId, id)] as const;
      } catch (caught) {
        if (call.signal.aborted) throw SandboxError.from(caught);
        return undefined;
      }
    }),
  );
  return new Map(answers.filter((answer) => answer !== undefined));
}
