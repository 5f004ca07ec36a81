import { existsSync } from 'node:fs';
import { recreateParentCgroup } from '@sandbox-backend/host';
import { log, mutex, Operation } from '@sandbox-backend/kit';
import {
  currentBuild,
  findTemplate,
  listTemplates,
  type MachineDeps,
  machineDirectory,
} from '@sandbox-backend/machines';
import { type Call, type NodeService, SandboxError, type SandboxExit } from '@sandbox-backend/protocol';
import { openLogCollector } from './logs/collect.ts';
import { listOrphans } from './orphans/list.ts';
import { purgeOrphans } from './orphans/purge.ts';
import { openWarmPool, type WarmPoolOptions } from './pool/warm-pool.ts';
import type { Resident } from './resident.ts';
import { deactivateSandbox } from './sandboxes/deactivate.ts';
import { sandboxMetrics } from './sandboxes/metrics.ts';
import { recoverSandboxes } from './sandboxes/recover.ts';
import { snapshotSandbox } from './sandboxes/snapshot.ts';
import { startSandbox } from './sandboxes/start.ts';
import { deleteTemplate, removeDeletedTemplates } from './templates/delete.ts';

export type NodeOptions = { warmPool: WarmPoolOptions; warmTemplates: readonly string[] };

/**
 * The host as the control plane sees it. Opening it finds the sandboxes of an earlier run again;
 * disposing of it leaves them running, `stopAll` ends them.
 */
export async function openNode(
  op: Operation,
  deps: MachineDeps,
  options: NodeOptions,
): Promise<NodeService & AsyncDisposable & { stopAll(): Promise<void> }> {
  await removeDeletedTemplates(deps.dataRoot);
  const residents = await op.phase('recover', () => recoverSandboxes(op, deps));
  const pool = openWarmPool(deps, options.warmPool);
  const logs = openLogCollector(deps.dataRoot);
  const purges = mutex(); // a second one would free what the first has freed, and others have taken since
  const listeners = new Set<(exit: SandboxExit) => void>();
  const startDeps = { ...deps, pool };

  const admit = (resident: Resident) => {
    const { sandboxId } = resident.info;
    residents.set(sandboxId, resident);
    logs.begin(resident);
    void resident.held.machine.exited.then(async (exit) => {
      if (residents.get(sandboxId) !== resident) return; // stopped by us
      residents.delete(sandboxId);
      log('warn', 'sandbox.exit', { sandboxId, reason: exit.reason, detail: exit.detail });
      const level = exit.reason === 'crashed' ? 'error' : 'warn';
      const why = exit.detail && `: ${exit.detail}`;
      await logs.end(resident, level, `the sandbox ended (${exit.reason})${why}`);
      await resident.held[Symbol.asyncDispose]();
      for (const listener of listeners) listener({ sandboxId, ...exit });
    });
  };
  for (const resident of residents.values()) admit(resident);
  for (const name of options.warmTemplates) {
    const build = await currentBuild(deps.dataRoot, name).catch(() => undefined);
    if (build) pool.keep(build);
  }

  const find = (sandboxId: string) => {
    const resident = residents.get(sandboxId);
    if (resident) return resident;
    throw new SandboxError('not_found', `no sandbox ${sandboxId} runs on this host`);
  };
  const stop = async (sandboxId: string) => {
    const resident = residents.get(sandboxId);
    if (!resident) return false;
    residents.delete(sandboxId);
    await logs.end(resident, 'info', 'the sandbox was stopped');
    await resident.held[Symbol.asyncDispose]();
    return true;
  };

  return {
    async start(call, request) {
      if (residents.has(request.sandboxId)) {
        throw new SandboxError('already_exists', `the sandbox ${request.sandboxId} runs already`);
      }
      await logs.clear(request.sandboxId);
      const resident = await startSandbox(operation('start a sandbox', call), startDeps, request);
      admit(resident);
      return resident.info;
    },
    stop: (_call, sandboxId) => stop(sandboxId),
    list: () => [...residents.values()].map(({ info }) => info),
    find: (sandboxId) => residents.get(sandboxId)?.info,
    metrics: async (call, sandboxId) => sandboxMetrics(operation('read metrics', call), find(sandboxId)),
    logs: (_call, sandboxId, { limit }) => logs.read(sandboxId, limit),
    async snapshot(call, sandboxId, { name }) {
      const resident = find(sandboxId);
      const op = operation('make a snapshot', call);
      return resident.alone(op, 'wait for the sandbox', () => snapshotSandbox(op, deps, resident, name));
    },
    async deactivate(call, sandboxId) {
      const resident = find(sandboxId);
      const op = operation('deactivate a sandbox', call);
      return resident.alone(op, 'wait for the sandbox', () => deactivateSandbox(op, deps, resident));
    },
    listOrphans: () => listOrphans(deps.dataRoot),
    purgeOrphans(call, ids) {
      const op = operation('purge orphans', call);
      return purges(op, 'wait for another purge', () => purgeOrphans(op, deps, ids));
    },
    recreateCgroup: () =>
      recreateParentCgroup(async (name) => existsSync(machineDirectory(deps.dataRoot, name))),
    async cleanNetwork(call, slotIndex) {
      await deps.slots.clean(operation('clean a network slot', call), slotIndex);
    },
    listTemplates: () => listTemplates(deps.dataRoot),
    findTemplate: (name) => findTemplate(deps.dataRoot, name),
    deleteTemplate: (_call, name) => deleteTemplate({ dataRoot: deps.dataRoot, pool }, name),
    onExit: (listener) => void listeners.add(listener),
    describe: () => ({
      vmm: deps.vmms.preferred.identity,
      capabilities: [...deps.vmms.capabilities],
      sandboxes: residents.size,
      freeSlots: deps.slots.free,
      warmMachines: pool.size,
    }),
    async stopAll() {
      await Promise.all([...residents.keys()].map(stop));
    },
    async [Symbol.asyncDispose]() {
      logs[Symbol.dispose]();
      await pool[Symbol.asyncDispose]();
    },
  };
}

const operation = (name: string, call: Call) =>
  call instanceof Operation ? call : new Operation(name, { timeoutMs: 60_000, signal: call.signal });
