import type { Finding } from './finding.ts';

/**
 * What this machine has and lacks for running sandboxes.
 *
 * The one place where the CLI reaches below the wire: doctor is for the time when no server runs
 * that could be asked, and the host package is where the checks live that the server makes itself.
 */
export async function inspectThisHost(dataRoot: string): Promise<Finding[]> {
  const { inspectHost } = await import('@sandbox-backend/host');
  return inspectHost({ dataRoot });
}
