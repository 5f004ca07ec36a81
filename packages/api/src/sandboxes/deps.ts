import type { NodeService } from '@sandbox-backend/protocol';
import type { SandboxRows } from '../db/sandboxes.ts';
import type { SnapshotRows } from '../db/snapshots.ts';

export type SandboxLimits = {
  /** Sandboxes that hold a place on the host at once; undefined: as many as it carries. */
  maxSandboxes?: number | undefined;
  /** Undefined: a sandbox may live as long as its owner says. */
  maxTimeoutSeconds?: number | undefined;
};

/** What the verbs touch outside themselves; made once, in `create-api.ts`. */
export type SandboxDeps = {
  node: NodeService;
  rows: SandboxRows;
  snapshots: SnapshotRows;
  /** Unix milliseconds. */
  now(): number;
  newId(): string;
  limits: SandboxLimits;
  /** Creates under way, so that a kill can end and outlive one. */
  starts: Map<string, Start>;
  /** Kills under way, so that a second one waits for the first. */
  kills: Map<string, Promise<void>>;
  /** Destroys every connection of the data plane to the sandbox, at once. */
  endConnections(sandboxId: string): void;
  /** To be called after a deadline was set, or a kill failed. */
  wakeReaper(): void;
};

export type Start = { abort: AbortController; settled: Promise<void> };
