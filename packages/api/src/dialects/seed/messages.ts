// The messages of `proto/seed/sandbox.proto` as the loader gives them: int64 is a string of digits.

export type State = 'RUNNING' | 'STOP' | 'SNAPSHOTTING' | 'ORPHAN';

export type SandboxInfo = {
  sandboxID: string;
  templateID: string;
  kernelVersion?: string;
  pid?: number;
  networkIdx?: number;
  privateIP?: string;
  startTime?: { seconds: number; nanos: number };
  enableDiffSnapshots?: boolean;
  state: State;
  metadata?: Record<string, string>;
};

export type CreateRequest = {
  templateID: string;
  maxInstanceLength: string;
  sandboxID: string;
  enableDiffSnapshots: boolean;
  metadata: Record<string, string>;
  hypervisorBinaryPath?: string;
};

export type ListRequest = { orphan: boolean; running: boolean };
export type IdRequest = { sandboxID: string };
export type SnapshotRequest = { sandboxID: string; delete: boolean; name?: string };
export type PurgeRequest = { purgeAll: boolean; SandboxIDs: string[] };
export type CleanNetworkRequest = { NetworkIDs: string[] };
