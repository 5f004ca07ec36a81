import type { Finding } from './finding.ts';

/**
 * What this machine has and lacks for running sandboxes.
 *
 * The one place where the CLI reaches below the wire: doctor is for the time when no server runs
 * that could be asked, and the host package is where the checks live that the server makes itself.
 */
export async function inspectThisHost(dataRoot: string): Promise<Finding[]> {
  const host: object = await import('@sandbox-backend/host');
  if (offersInspection(host)) return host.inspectHost({ dataRoot });
  return [{ id: 'host', status: 'warn', detail: 'this version does not inspect the host' }];
}

type Inspection = { inspectHost(options: { dataRoot: string }): Promise<Finding[]> };

const offersInspection = (host: object): host is Inspection => 'inspectHost' in host;
