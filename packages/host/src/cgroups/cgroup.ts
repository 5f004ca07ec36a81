import { readFile } from 'node:fs/promises';
import type { Operation } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { findHierarchies } from './hierarchies.ts';
import { openV1 } from './v1.ts';
import { openV2 } from './v2.ts';

export type CgroupLimits = {
  /** Everything in the group, the VMM's own memory included. */
  memoryMib: number;
  /** Whole processors. */
  vcpus: number;
  pids: number;
};

export type CgroupStats = { memoryBytes: number; cpuUsageUs: number; pids: number };

/** A group of processes with limits, in whichever version of control groups this host has. */
export interface Cgroup extends AsyncDisposable {
  /** A process enters the group by writing its pid into each of these. */
  readonly procsFiles: readonly string[];
  /** What is not limited, empty when all is: `memory`, `cpu`, `pids`. */
  readonly missing: readonly string[];
  stats(): Promise<CgroupStats>;
  /**
   * Takes from its processes all memory that they do not need now: pages of files, and others as far as this host
   * has swap for them. They get it back when they touch it.
   */
  reclaim(): Promise<void>;
  /** Ends every process in the group, waits until they are gone, and removes it. */
  [Symbol.asyncDispose](): Promise<void>;
}

export type CgroupSpec = { name: string; limits: CgroupLimits };

/** All groups of ours are below one, so that they can be seen and limited together. */
export const PARENT = 'sandbox-backend';

/** A little more than the vCPUs: the VMM's own threads must not starve the guest. */
export const CPU_PERIOD_US = 100_000;
export const cpuQuotaUs = (vcpus: number) => Math.round((vcpus + 0.25) * CPU_PERIOD_US);

/**
 * Opens the group of this name with these limits; one that exists already is taken over with what
 * runs in it. A controller that this host lacks is reported in `missing`, and is no failure.
 */
export async function openCgroup(op: Operation, spec: CgroupSpec): Promise<Cgroup> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$/.test(spec.name)) {
    throw new SandboxError(
      'invalid_argument',
      `${JSON.stringify(spec.name)} is not a name for a control group`,
    );
  }
  op.signal.throwIfAborted();
  const hierarchies = findHierarchies(await readFile('/proc/self/mountinfo', 'utf8'));
  const v2 = hierarchies.v2 && (await openV2(hierarchies.v2, spec));
  return v2 || openV1(hierarchies.v1, spec);
}
