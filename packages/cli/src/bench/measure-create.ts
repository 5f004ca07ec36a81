import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, type Measurement, measured, timed } from './measurement.ts';
import { runIn } from './run-in.ts';

/** From the request for a sandbox to the end of a first program in it, one sandbox after the other. */
export async function measureCreate(bench: Bench, options: { cold: boolean }): Promise<Measurement[]> {
  const untilAnswer: number[] = [];
  const untilExec: number[] = [];
  const phases: Record<string, number[]> = {};
  for (let round = 0; round < bench.count; round++) {
    bench.signal.throwIfAborted();
    if (!options.cold) await untilWarm(bench);
    const start = performance.now();
    const { ms, result: sandbox } = await timed(() => bench.sandboxes.create(options));
    await runIn(sandbox.envd, ['/bin/true'], bench.signal);
    untilExec.push(performance.now() - start);
    untilAnswer.push(ms);
    for (const [name, phaseMs] of Object.entries(sandbox.phases)) {
      phases[name] ??= [];
      phases[name].push(phaseMs);
    }
    await bench.sandboxes.delete(sandbox);
  }
  const how = options.cold ? 'cold' : 'as configured';
  return [
    measured(`create (${how})`, 'ms', untilAnswer, { phases }),
    measured(`create + exec true (${how})`, 'ms', untilExec),
  ];
}

/** One after the other would drain the pool; a server without one is not waited for. */
async function untilWarm(bench: Bench): Promise<void> {
  for (let round = 0; round < 50; round++) {
    const { node } = (await bench.control.status()) ?? {};
    if (!node || node.warmMachines > 0) return;
    await sleep(200, undefined, { signal: bench.signal });
  }
}
