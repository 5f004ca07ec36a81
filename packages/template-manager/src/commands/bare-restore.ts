import { spawn } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cloneDisk } from '@sandbox-backend/host';
import { Operation, processStartTime } from '@sandbox-backend/kit';
import {
  BUILD_FILES,
  type Build,
  currentBuild,
  disksOfBuild,
  hardwareOf,
  type MachineDeps,
  openHost,
  readHostConfig,
  waitForGuest,
  writableDisk,
} from '@sandbox-backend/machines';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Room } from '@sandbox-backend/vmm';

/**
 * Restores a template's snapshot with the VMM alone, by hand as it were: no room, no record, no identity,
 * straight to the first answer of the guest. It is what everything else is measured against.
 */
export async function bareRestore(
  op: Operation,
  options: { template: string; count: number; json: boolean },
): Promise<void> {
  const config = readHostConfig(process.env);
  const build = await currentBuild(config.dataRoot, options.template);
  if (!build) throw new SandboxError('not_found', `template '${options.template}' not found`);
  await using host = await openHost(op, config, { spareSlots: 0, recover: false });
  const samples: Record<string, number>[] = [];
  for (let round = 0; round < options.count; round++) samples.push(await restoreOnce(op, host, build));
  const phases = Object.fromEntries(
    Object.keys(samples[0] ?? {}).map((name) => [name, median(samples.map((sample) => sample[name] ?? 0))]),
  );
  if (options.json) console.log(JSON.stringify({ count: options.count, phases, samples }));
  else for (const [name, ms] of Object.entries(phases)) console.log(`${name.padEnd(14)} ${ms.toFixed(1)} ms`);
}

async function restoreOnce(
  parent: Operation,
  host: MachineDeps,
  build: Build,
): Promise<Record<string, number>> {
  const op = new Operation('restore by hand', { timeoutMs: 60_000, signal: parent.signal });
  const { manifest } = build;
  await using held = new AsyncDisposableStack();
  const directory = await mkdtemp(join(host.dataRoot, 'bare-'));
  held.defer(() => rm(directory, { recursive: true, force: true }));
  const slot = held.use(await host.slots.lease(op));
  const name = writableDisk(manifest.overlay);
  const source = join(build.directory, name);
  const disk = await cloneDisk(op, {
    from: source,
    directory,
    name: 'disk',
    formats: host.vmms.find(manifest.vmm.kind).traits.diskFormats,
    backing: source,
  });
  const vmm = host.vmms.find(manifest.vmm.kind);
  const start = performance.now();
  const machine = held.use(
    await vmm.restore(
      op,
      {
        hardware: hardwareOf(manifest, disksOfBuild(build.directory, manifest.overlay, disk), slot.ref),
        memoryFile: join(build.directory, BUILD_FILES.memory),
        stateFile: join(build.directory, BUILD_FILES.state),
      },
      bareRoom(directory, slot.ref.namespace),
    ),
  );
  await op.phase('resume', () => machine.resume(op));
  await op.phase('first answer', () => waitForGuest(op, machine, slot.ref.address));
  return {
    ...Object.fromEntries(op.phases.map((phase) => [phase.name, phase.ms])),
    total: performance.now() - start,
  };
}

/** The VMM with nothing around it but the network namespace that has its tap. */
function bareRoom(directory: string, namespace: string): Room {
  return {
    directory,
    inside: (path) => path,
    give: async () => {},
    async launch(_op, command, { logFile }) {
      await using log = await open(logFile, 'a');
      const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
        stdio: ['ignore', log.fd, log.fd],
      });
      const pid = await new Promise<number>((resolve, reject) => {
        child.once('error', reject);
        child.once('spawn', () => resolve(child.pid!));
      });
      const pidStartTime = await processStartTime(pid);
      if (pidStartTime === undefined) throw new SandboxError('unavailable', 'the VMM ended at once');
      return { pid, pidStartTime };
    },
  };
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
