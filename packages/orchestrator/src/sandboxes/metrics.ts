import type { Operation } from '@sandbox-backend/kit';
import { checkEnvd, requestEnvd } from '@sandbox-backend/machines';
import { SandboxError, type SandboxMetrics } from '@sandbox-backend/protocol';
import type { Resident } from '../resident.ts';

/** Asks the guest; a guest that lies about itself deceives only its owner, but every value is checked to be a number. */
export async function sandboxMetrics(op: Operation, resident: Resident): Promise<SandboxMetrics> {
  const response = await requestEnvd(resident.info.address, {
    method: 'GET',
    path: '/metrics',
    signal: op.signal,
    accessToken: resident.info.accessToken,
  });
  checkEnvd(response, 'its metrics');
  const values = parse(response.body);
  const number = (key: string) => {
    const value = values[key];
    return typeof value === 'number' && Number.isFinite(value) ? value : 0;
  };
  return {
    timestampUnix: Math.floor(Date.now() / 1000),
    cpuCount: resident.info.vcpus,
    cpuUsedPct: number('cpu_used_pct'),
    memUsed: number('mem_used'),
    memTotal: number('mem_total'),
    memCache: number('mem_cache'),
    diskUsed: number('disk_used'),
    diskTotal: number('disk_total'),
  };
}

function parse(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch {
    // reported below
  }
  throw new SandboxError('internal', 'envd answered metrics that are no JSON object');
}
