import { cpus, release } from 'node:os';
import type { Connection, Control, Envd } from '@sandbox-backend/sdk';
import { note } from '../text/print.ts';
import { measureBareRestore } from './measure-bare-restore.ts';
import { measureBurst } from './measure-burst.ts';
import { measureCreate } from './measure-create.ts';
import { measureExec } from './measure-exec.ts';
import { measureFiles } from './measure-files.ts';
import { measureIdleTogether, measureMemory } from './measure-memory.ts';
import { measureNetwork } from './measure-network.ts';
import type { Bench, BenchOptions, Measurement } from './measurement.ts';
import { Sandboxes } from './sandboxes.ts';

export type BenchReport = {
  at: string;
  /** Of the machine that measured, which is the server's unless the server is elsewhere. */
  client: { kernel: string; cpus: number; cpu: string };
  vmm: string | undefined;
  options: BenchOptions;
  measurements: Measurement[];
};

type BenchInput = BenchOptions & {
  control: Control;
  connection: Connection;
  envd: (id: string, accessToken: string | undefined) => Envd;
  signal: AbortSignal;
};

/** Measures the running server; whatever happens, the sandboxes that it made are deleted at the end. */
export async function runBench(input: BenchInput): Promise<BenchReport> {
  const { template, count, concurrency, fileMib, settleSeconds, control, connection, signal } = input;
  const options = { template, count, concurrency, fileMib, settleSeconds };
  await using sandboxes = new Sandboxes(control, input.envd, template);
  const bench: Bench = { ...options, control, connection, signal, sandboxes };
  const status = await control.status();
  const measurements: Measurement[] = [];
  const step = async (what: string, measure: () => Promise<Measurement[]>) => {
    signal.throwIfAborted();
    note(what);
    try {
      measurements.push(...(await measure()));
    } catch (caught) {
      signal.throwIfAborted(); // whatever it was that the interruption broke
      throw caught;
    }
  };

  await step('create, one after the other', () => measureCreate(bench, { cold: false }));
  await step('create without warm machines', () => measureCreate(bench, { cold: true }));
  const sandbox = await sandboxes.create();
  await step('memory of an idle sandbox', () => measureMemory(bench, sandbox));
  // A warm machine keeps what the emulator translated for it ahead: this one has not.
  const cold = await sandboxes.create({ cold: true });
  await step('memory of a cold sandbox', () => measureMemory(bench, cold, 'memory of an idle sandbox, cold'));
  await sandboxes.delete(cold);
  await step('exec in a warm sandbox', () => measureExec(bench, sandbox));
  await step('files', () => measureFiles(bench, sandbox));
  await step('network', () => measureNetwork(bench, sandbox));
  await sandboxes.delete(sandbox);
  await step('the bare VMM', () => measureBareRestore(bench));
  await step(`memory of ${concurrency} idle at once`, () => measureIdleTogether(bench));
  await step(`${concurrency} at once`, () => measureBurst(bench));

  const vmm = status?.node?.vmm;
  return {
    at: new Date().toISOString(),
    client: { kernel: release(), cpus: cpus().length, cpu: cpus()[0]?.model ?? 'unknown' },
    vmm: vmm && `${vmm.kind} ${vmm.version} with ${vmm.accelerator}, ${vmm.machine}, ${vmm.cpuModel}`,
    options,
    measurements,
  };
}
