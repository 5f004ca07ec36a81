import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BuildManifest,
  type LogLine,
  type NodeService,
  type Orphan,
  type RunningSandbox,
  SandboxError,
  type SandboxExit,
  type StartRequest,
  type TemplateInfo,
} from '@sandbox-backend/protocol';

export type FakeNodeOptions = {
  /** Names of the templates it has. */
  templates?: readonly string[];
  /** Where the "guests" answer. */
  address?: string;
  envdPort?: number;
  /** How long a start takes. */
  startMs?: number;
  /** When set, every start fails with it. */
  failStart?: SandboxError;
  /** When set, every stop fails with it. */
  failStop?: SandboxError;
  logs?: LogLine[];
  snapshotMs?: number;
  /** When set, every snapshot fails with it. */
  failSnapshot?: SandboxError;
  orphans?: Orphan[];
};

export type FakeNode = NodeService & {
  /** The knobs; they may be turned between calls. */
  options: FakeNodeOptions;
  /** Every start that was asked for, finished or not. */
  started: StartRequest[];
  stopped: string[];
  /** What was asked of the host itself. */
  hostCalls: string[];
  /** Lets a sandbox end by itself. */
  exit(sandboxId: string, reason?: SandboxExit['reason']): void;
};

/** A host without machines, for tests: it keeps the contract of {@link NodeService} and runs nothing. */
export function createFakeNode(options: FakeNodeOptions = {}): FakeNode {
  const sandboxes = new Map<string, RunningSandbox>();
  const listeners = new Set<(exit: SandboxExit) => void>();
  const templates = new Map((options.templates ?? ['base']).map((name) => [name, templateInfo(name)]));
  const started: StartRequest[] = [];
  const stopped: string[] = [];
  const hostCalls: string[] = [];
  const running = (id: string) => {
    const found = sandboxes.get(id);
    if (!found) throw new SandboxError('not_found', `no sandbox ${id} runs on this host`);
    return found;
  };

  return {
    options,
    started,
    stopped,
    hostCalls,
    async start(call, request) {
      started.push(request);
      await call.phase('fake start', () => sleep(options.startMs ?? 0, undefined, { signal: call.signal }));
      if (options.failStart) throw options.failStart;
      const info: RunningSandbox = {
        sandboxId: request.sandboxId,
        template: request.template,
        buildId: templates.get(request.template)!.manifest.buildId,
        address: options.address ?? '127.0.0.1',
        envdPort: options.envdPort ?? 49983,
        envdVersion: '0.6.13',
        ...(request.accessToken && { accessToken: request.accessToken }),
        vcpus: 2,
        memoryMib: 512,
        diskMib: 1024,
        kernelVersion: '6.1',
        slotIndex: sandboxes.size,
        pid: process.pid,
        startedAt: new Date().toISOString(),
      };
      sandboxes.set(info.sandboxId, info);
      return info;
    },
    async stop(_call, sandboxId) {
      if (options.failStop) throw options.failStop;
      stopped.push(sandboxId);
      return sandboxes.delete(sandboxId);
    },
    list: () => [...sandboxes.values()],
    find: (sandboxId) => sandboxes.get(sandboxId),
    metrics: async (_call, sandboxId) => ({
      timestampUnix: Math.floor(Date.now() / 1000),
      cpuCount: running(sandboxId).vcpus,
      cpuUsedPct: 12.5,
      memUsed: 1000,
      memTotal: 4000,
      memCache: 500,
      diskUsed: 7,
      diskTotal: 70,
    }),
    logs: async (_call, _sandboxId, { limit }) => (options.logs ?? []).slice(-limit),
    async snapshot(call, sandboxId, { name }) {
      running(sandboxId);
      await call.phase('fake snapshot', () =>
        sleep(options.snapshotMs ?? 0, undefined, { signal: call.signal }),
      );
      if (options.failSnapshot) throw options.failSnapshot;
      running(sandboxId);
      const info = templateInfo(name);
      info.manifest.snapshotOf = { sandboxId };
      templates.set(name, info);
      return {
        manifest: info.manifest,
        directory: `/data/templates/${name}/builds/${info.manifest.buildId}`,
        pausedMs: 1,
      };
    },
    async deactivate(_call, sandboxId) {
      running(sandboxId);
      return { beforeBytes: 100 * 2 ** 20, afterBytes: 60 * 2 ** 20, durationMs: 5 };
    },
    listOrphans: async () => [...(options.orphans ?? [])],
    async purgeOrphans(_call, ids) {
      const all = options.orphans ?? [];
      const gone = all.filter(({ sandboxId }) => ids === undefined || ids.includes(sandboxId));
      options.orphans = all.filter((orphan) => !gone.includes(orphan));
      return gone.map(({ sandboxId }) => sandboxId);
    },
    async recreateCgroup() {
      hostCalls.push('recreateCgroup');
    },
    async cleanNetwork(_call, slotIndex) {
      hostCalls.push(`cleanNetwork ${slotIndex}`);
    },
    listTemplates: async () => [...templates.values()],
    findTemplate: async (name) => templates.get(name),
    async deleteTemplate(_call, name) {
      if ([...sandboxes.values()].some((sandbox) => sandbox.template === name)) {
        throw new SandboxError('failed_precondition', `a sandbox runs from the template ${name}`);
      }
      return templates.delete(name);
    },
    onExit: (listener) => void listeners.add(listener),
    describe: () => ({
      vmm: VMM,
      capabilities: [],
      sandboxes: sandboxes.size,
      freeSlots: 0,
      warmMachines: 0,
    }),
    exit(sandboxId, reason = 'crashed') {
      sandboxes.delete(sandboxId);
      for (const listener of listeners) listener({ sandboxId, reason, detail: 'asked to' });
    },
  };
}

const VMM: BuildManifest['vmm'] = {
  kind: 'fake',
  version: '1',
  accelerator: 'tcg',
  machine: 'fake-1',
  cpuModel: 'fake',
};

const templateInfo = (name: string): TemplateInfo => ({
  name,
  buildCount: 1,
  manifest: {
    schema: 1,
    template: name,
    buildId: '00000000-0000-4000-8000-000000000001',
    createdAt: '2026-01-01T00:00:00.000Z',
    vcpus: 2,
    memoryMib: 512,
    diskMib: 1024,
    overlay: true,
    kernelVersion: '6.1',
    vmm: VMM,
    envdVersion: '0.6.13',
    defaultUser: 'user',
    env: {},
    files: {},
    trial: { at: '2026-01-01T00:00:00.000Z', restoreMs: 100 },
  },
});
