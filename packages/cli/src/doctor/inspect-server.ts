import { SandboxError } from '@sandbox-backend/protocol';
import { type Connection, Control, request, type ServerStatus } from '@sandbox-backend/sdk';
import type { Finding } from './finding.ts';

const PATIENCE_MS = 10_000;

type ServerInspection = { serverPid: number | null; findings: Finding[] };

/** Whether the server answers, what it says of itself, and whether the data plane answers beside it. */
export async function inspectServer(connection: Connection): Promise<ServerInspection> {
  const control = new Control(connection, { signal: AbortSignal.timeout(PATIENCE_MS) });
  try {
    const status = await control.status();
    // A server without a status page still has to accept the key.
    if (!status) await control.listTemplates();
    const findings = [
      describeServer(connection, status),
      ...describeVmms(status),
      await inspectDataPlane(connection),
    ];
    return { serverPid: status?.pid ?? null, findings };
  } catch (caught) {
    return { serverPid: null, findings: [failure('server', caught)] };
  }
}

/** Any answer will do: that there is no such sandbox is one. */
async function inspectDataPlane({ sandboxUrl }: Connection): Promise<Finding> {
  try {
    const response = await request(`${sandboxUrl}/health`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    response.destroy();
    return { id: 'data-plane', status: 'ok', detail: `answers at ${sandboxUrl}` };
  } catch (caught) {
    return failure('data-plane', caught);
  }
}

function failure(id: string, caught: unknown): Finding {
  const { message, hint } = SandboxError.from(caught);
  return { id, status: 'fail', detail: message, fix: hint ?? "See the server's log." };
}

/** The matrix of `GET /capabilities`, a line for each. One that cannot run is a choice less, and no fault. */
function describeVmms(status: ServerStatus | undefined): Finding[] {
  return (status?.node?.capabilities ?? []).map((one) => ({
    id: one.vmm,
    status: 'ok',
    detail: one.available
      ? `${one.identity.version} with ${one.identity.accelerator}, disks ${one.diskFormats.join(', ')}`
      : `not used: ${one.reason}`,
  }));
}

function describeServer({ apiUrl }: Connection, status: ServerStatus | undefined): Finding {
  const process = status?.pid === undefined ? '' : `, process ${status.pid}`;
  const { node } = status ?? {};
  const vmm = node ? `, ${node.vmm.kind} ${node.vmm.version} with ${node.vmm.accelerator}` : '';
  const load = node
    ? `, ${node.sandboxes} sandboxes, ${node.warmMachines} warm machines, ${node.freeSlots} free slots`
    : '';
  return { id: 'server', status: 'ok', detail: `answers at ${apiUrl}${process}${vmm}${load}` };
}
