import { log, Operation, randomId } from '@sandbox-backend/kit';
import {
  type Build,
  type HeldMachine,
  type MachineDeps,
  restoreMachine,
  runInGuest,
  waitForGuest,
} from '@sandbox-backend/machines';
import { SandboxError } from '@sandbox-backend/protocol';

export type WarmPool = AsyncDisposable & {
  /** Takes a paused machine of the build, and has the pool make another; undefined when there is none. */
  claim(build: Build): HeldMachine | undefined;
  /** Starts to keep machines of the build at hand. */
  keep(build: Build): void;
  /** Ends the machines of a template and keeps it no longer. */
  forget(template: string): Promise<void>;
  readonly size: number;
};

export type WarmPoolOptions = {
  /** Machines kept per build. */
  machinesPerBuild: number;
  /** The builds used last are kept warm; older ones are let go. */
  builds: number;
  /** Quiet time after a claim before the pool is refilled, so that it does not compete with the sandbox just started. */
  refillDelayMs: number;
};

/**
 * Keeps machines that are restored, have run once and are paused again: they cost memory and no
 * processor time, and a claim need not wait for a VMM to start or for an emulator to translate envd anew.
 * A machine in which programs of the user's run, of a start command or in a snapshot, is never run ahead of its claim.
 */
export function openWarmPool(deps: MachineDeps, options: WarmPoolOptions): WarmPool {
  const kept = new Map<string, { build: Build; machines: HeldMachine[] }>();
  const closing = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let filling: Promise<void> = Promise.resolve();

  const schedule = () => {
    clearTimeout(timer);
    if (closing.signal.aborted || options.machinesPerBuild === 0) return;
    timer = setTimeout(() => {
      filling = filling.then(fill);
    }, options.refillDelayMs);
    timer.unref();
  };

  const fill = async () => {
    for (const [buildId, entry] of kept) {
      while (entry.machines.length < options.machinesPerBuild && !closing.signal.aborted) {
        try {
          const machine = await makeWarm(deps, entry.build, closing.signal);
          if (closing.signal.aborted || kept.get(buildId) !== entry) {
            await machine[Symbol.asyncDispose]();
            break;
          }
          entry.machines.push(machine);
          watch(entry.machines, machine);
        } catch (caught) {
          if (closing.signal.aborted) return;
          const error = SandboxError.from(caught);
          log('warn', 'pool.fill', { buildId, code: error.code, message: error.message });
          return; // the next claim tries again
        }
      }
    }
  };

  const letGo = async (buildId: string) => {
    const entry = kept.get(buildId);
    kept.delete(buildId);
    for (const machine of entry?.machines ?? []) await machine[Symbol.asyncDispose]();
  };

  const keep = (build: Build) => {
    const { buildId, template } = build.manifest;
    const entry = kept.get(buildId) ?? { build, machines: [] };
    kept.delete(buildId);
    kept.set(buildId, entry); // used last, let go last
    for (const [id, other] of kept) {
      const stale = other.build.manifest.template === template && id !== buildId;
      if (stale || kept.size > options.builds) void letGo(id);
    }
    schedule();
  };

  return {
    claim(build) {
      keep(build);
      return kept.get(build.manifest.buildId)?.machines.shift();
    },
    keep,
    async forget(template) {
      await filling;
      for (const [id, entry] of kept) if (entry.build.manifest.template === template) await letGo(id);
    },
    get size() {
      return [...kept.values()].reduce((sum, entry) => sum + entry.machines.length, 0);
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      clearTimeout(timer);
      await filling;
      for (const id of kept.keys()) await letGo(id);
    },
  };
}

/** A machine that ends while it waits is nobody's: it is taken off and freed. */
function watch(machines: HeldMachine[], machine: HeldMachine): void {
  void machine.machine.exited.then(async () => {
    const index = machines.indexOf(machine);
    if (index < 0) return;
    machines.splice(index, 1);
    await machine[Symbol.asyncDispose]();
  });
}

/** The first program of a sandbox is the slowest without KVM: its code, and envd's to start it, is translated here. */
async function rehearse(op: Operation, address: string, user: string): Promise<void> {
  const program = { cmd: '/bin/bash', args: ['-l', '-c', 'true'], user };
  await runInGuest(op, address, program).catch(() => undefined); // an image without a shell has no such program
}

function makeWarm(deps: MachineDeps, build: Build, signal: AbortSignal): Promise<HeldMachine> {
  const op = new Operation('warm a machine', { timeoutMs: 60_000, signal });
  Object.assign(op.attributes, { template: build.manifest.template, build: build.manifest.buildId });
  return op.observe('machine.warm', () => restoreWarm(op, deps, build));
}

async function restoreWarm(op: Operation, deps: MachineDeps, build: Build): Promise<HeldMachine> {
  await using held = new AsyncDisposableStack();
  const machine = held.use(await restoreMachine(op, deps, randomId('m'), build));
  if (build.manifest.startCommand === undefined && build.manifest.snapshotOf === undefined) {
    await machine.machine.resume(op);
    await waitForGuest(op, machine.machine, machine.slot.ref.address);
    await rehearse(op, machine.slot.ref.address, build.manifest.defaultUser);
    await machine.machine.pause(op);
  }
  held.move();
  return machine;
}
