import type { BuildManifest, VmmIdentity } from './build.ts';

/**
 * What the control plane asks of a host that runs sandboxes: one method per verb. `api` and
 * `gateway` know a host only as a {@link NodeService}; in one process it is the orchestrator itself.
 *
 * Vocabulary: a *sandbox* is a machine with an id; `start` makes one from a build and returns when
 * the guest answers; the node holds no owner, deadline or metadata: those are rows of the control plane.
 */
export interface NodeService {
  start(call: Call, request: StartRequest): Promise<RunningSandbox>;
  /** Ends the sandbox and frees all that it held before it returns; false when there was none. */
  stop(call: Call, sandboxId: string): Promise<boolean>;
  /** Every sandbox that runs here now, also those found again after a restart. */
  list(): RunningSandbox[];
  find(sandboxId: string): RunningSandbox | undefined;
  metrics(call: Call, sandboxId: string): Promise<SandboxMetrics>;
  /** Lines of the guest's console and of envd, oldest first; those of a sandbox that has ended are kept for a day. */
  logs(call: Call, sandboxId: string, options: { limit: number }): Promise<LogLine[]>;

  /**
   * Saves a running sandbox, its memory and its disk, as a build under a name of its own, from which sandboxes
   * are started like from a template. The sandbox stands still meanwhile and runs on after it. A snapshot of
   * that name is replaced; `already_exists` when the name is a template's.
   */
  snapshot(call: Call, sandboxId: string, request: { name: string }): Promise<SnapshotResult>;
  /** Gives memory of the sandbox that can be had again, from its files or its guest, back to the host. */
  deactivate(call: Call, sandboxId: string): Promise<Deactivation>;

  /** Machines on this host that are on record and that nobody looks after. */
  listOrphans(): Promise<Orphan[]>;
  /** Ends orphans and frees what they hold; all of them without a list. The ids of those that are gone. */
  purgeOrphans(call: Call, sandboxIds?: readonly string[]): Promise<string[]>;
  /** Makes the control group of all sandboxes anew; those that run stay in it, with their limits. */
  recreateCgroup(call: Call): Promise<void>;
  /** Takes the namespace, links and rules of a slot away; `failed_precondition` while something uses it. */
  cleanNetwork(call: Call, slotIndex: number): Promise<void>;

  /** Templates with a build in force, by name; snapshots are among them. */
  listTemplates(): Promise<TemplateInfo[]>;
  findTemplate(name: string): Promise<TemplateInfo | undefined>;
  /** Removes the template and its builds; `failed_precondition` while a sandbox runs from one. */
  deleteTemplate(call: Call, name: string): Promise<boolean>;

  /** Called once for each sandbox that ends by itself (crash, power-off), after it was freed. */
  onExit(listener: (exit: SandboxExit) => void): void;
  describe(): NodeInfo;
}

/** The part of an `Operation` that crosses a wire. */
export type Call = { signal: AbortSignal; phase<T>(name: string, step: () => Promise<T> | T): Promise<T> };

export type StartRequest = {
  sandboxId: string;
  /** Name of a template (its build in force is taken). */
  template: string;
  /** Environment for every process of the sandbox. */
  env: Record<string, string>;
  /** Required on each request to envd; the control plane chooses and keeps it. */
  accessToken?: string;
  allowInternet: boolean;
  /** Restore from the snapshot even when a warm machine is at hand: for measuring. */
  cold?: boolean;
};

export type RunningSandbox = {
  sandboxId: string;
  template: string;
  buildId: string;
  /** Where the guest's ports answer from this host, for example `10.168.0.6`. */
  address: string;
  envdPort: number;
  envdVersion: string;
  accessToken?: string;
  vcpus: number;
  memoryMib: number;
  diskMib: number;
  kernelVersion: string;
  /** Of the network slot. */
  slotIndex: number;
  /** Process id of the VMM on its host. */
  pid: number;
  /** RFC 3339. */
  startedAt: string;
};

export type SnapshotResult = {
  manifest: BuildManifest;
  /** The build's folder on its host. */
  directory: string;
  /** How long the sandbox stood still. */
  pausedMs: number;
};

export type Deactivation = {
  /** Memory of the VMM before and after, as the host counts it. */
  beforeBytes: number;
  afterBytes: number;
  durationMs: number;
};

/** A machine that a server or a build left behind and no process looks after. */
export type Orphan = {
  /** The sandbox's, or where it had become none the machine's. */
  sandboxId: string;
  template: string;
  /** Undefined when its VMM has ended and only what it held is left. */
  pid: number | undefined;
  slotIndex: number;
  /** RFC 3339. */
  startedAt: string | undefined;
};

export type SandboxExit = {
  sandboxId: string;
  reason: 'stopped' | 'crashed' | 'powered_off';
  detail: string;
};

export type SandboxMetrics = {
  timestampUnix: number;
  cpuCount: number;
  cpuUsedPct: number;
  /** Bytes. */
  memUsed: number;
  memTotal: number;
  memCache: number;
  diskUsed: number;
  diskTotal: number;
};

export type LogLine = { timestamp: string; level: 'debug' | 'info' | 'warn' | 'error'; message: string };

export type TemplateInfo = { name: string; manifest: BuildManifest; buildCount: number };

/** One VMM as this host can or cannot run it. */
export type HostCapability =
  | { vmm: VmmIdentity['kind']; available: false; reason: string }
  | {
      vmm: VmmIdentity['kind'];
      available: true;
      identity: VmmIdentity;
      /** Of a sandbox's own disk. */
      diskFormats: ('raw' | 'qcow2')[];
      /** A restored guest is told by its hardware that it was restored. */
      generationId: boolean;
      hugePages: boolean;
    };

export type NodeInfo = {
  /** What templates are built for unless they ask for another. */
  vmm: VmmIdentity;
  capabilities: HostCapability[];
  sandboxes: number;
  freeSlots: number;
  warmMachines: number;
};

/**
 * What the data plane knows of a sandbox: `api` answers with it, `gateway` routes by it, and neither
 * imports the other. A request never chooses an address; only this does.
 */
export type SandboxRoute =
  | {
      sandboxId: string;
      state: 'running';
      /** Where the guest's ports answer from this host. */
      address: string;
      envdPort: number;
      /** What envd asks for. The gateway never adds it to a client's request. */
      accessToken?: string;
      /** Required of each request to a port other than envd's. */
      trafficToken?: string;
      /** Follows the id in addresses whose path is all that a client can send. */
      pathToken?: string;
      /** Host header for the guest, with `${PORT}` for the port. */
      maskRequestHost?: string;
    }
  /** `changing`: on its way between running and paused. */
  | { sandboxId: string; state: 'paused' | 'changing' };
