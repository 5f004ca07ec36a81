import type { EnvdEndpoint } from '@sandbox-backend/sdk';
import type { Link } from '../link.ts';
import { ENVD_PORT } from '../target.ts';
import { Budget } from './budget.ts';
import type { CpuSample } from './http/metrics.ts';
import { SimpleProcesses } from './http/simple-processes.ts';
import { ProgramTable } from './programs/table.ts';

/** What the door knows of a sandbox while its link stands. */
export type SeedSandbox = {
  link: Link;
  /** envd of the guest, for which the door holds the token. */
  endpoint: EnvdEndpoint;
  /** Aborted when the sandbox ends. */
  signal: AbortSignal;
  processes: ProgramTable;
  terminals: ProgramTable;
  simpleProcesses: SimpleProcesses;
  /** Bytes of the guest's that are held: unfinished lines, collected output, files on their way into an answer. */
  held: Budget;
  /** Bytes of clients' messages that are not whole, or not answered. */
  received: Budget;
  /** Open WebSockets. */
  peers: number;
  cpus: CpuSample | undefined;
};

const HELD_BYTES = 192 * 1024 * 1024;
const RECEIVED_BYTES = 192 * 1024 * 1024;

const sandboxes = new WeakMap<Link, SeedSandbox>();

export function seedSandboxOf(link: Link): SeedSandbox {
  const known = sandboxes.get(link);
  if (known) return known;
  const { route, signal, upstream } = link;
  const held = new Budget(HELD_BYTES);
  const endpoint: EnvdEndpoint = {
    sandboxUrl: `http://${route.address}:${ENVD_PORT}`,
    sandboxId: route.sandboxId,
    accessToken: route.accessToken,
    agent: upstream,
  };
  const client = { endpoint, signal };
  const sandbox: SeedSandbox = {
    ...client,
    link,
    held,
    received: new Budget(RECEIVED_BYTES),
    processes: new ProgramTable(client),
    terminals: new ProgramTable(client),
    simpleProcesses: new SimpleProcesses(client, held),
    peers: 0,
    cpus: undefined,
  };
  sandboxes.set(link, sandbox);
  return sandbox;
}
