import { type Bench, type Measurement, measured, timed } from './measurement.ts';
import { runIn } from './run-in.ts';

/** From the request for a sandbox to the end of a first program in it, one sandbox after the other. */
export async function measureCreate(bench: Bench, options: { cold: boolean }): Promise<Measurement[]> {
  const untilAnswer: number[] = [];
  const untilExec: number[] = [];
  const phases: Record<string, number[]> = {};
  for (let round = 0; round < bench.count; round++) {
    bench.signal.throwIfAborted();
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
