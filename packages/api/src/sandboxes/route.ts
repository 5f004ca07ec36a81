import type { SandboxRoute } from '@sandbox-backend/protocol';
import type { SandboxDeps } from './deps.ts';

/** What the data plane may know of the sandbox; undefined when it is not there for anyone. */
export function routeOf(
  deps: Pick<SandboxDeps, 'rows' | 'node'>,
  sandboxId: string,
): SandboxRoute | undefined {
  const row = deps.rows.find(sandboxId);
  switch (row?.state) {
    case 'paused':
      return { sandboxId, state: 'paused' };
    case 'pausing':
    case 'resuming':
      return { sandboxId, state: 'changing' };
    case 'running':
      break;
    default:
      return undefined;
  }
  const machine = deps.node.find(sandboxId);
  return (
    machine && {
      sandboxId,
      state: 'running',
      address: machine.address,
      envdPort: machine.envdPort,
      ...(row.accessToken && { accessToken: row.accessToken }),
      ...(row.trafficToken && { trafficToken: row.trafficToken }),
      ...(row.pathToken && { pathToken: row.pathToken }),
      ...(row.maskRequestHost && { maskRequestHost: row.maskRequestHost }),
    }
  );
}
