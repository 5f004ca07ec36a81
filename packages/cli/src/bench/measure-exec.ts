import { type Bench, type BenchSandbox, type Measurement, measured, timed } from './measurement.ts';
import { runIn } from './run-in.ts';

const COMMANDS = {
  'exec /bin/true': ['/bin/true'],
  // What `commands.run('true')` of the E2B SDKs asks for.
  'exec bash -l -c true': ['/bin/bash', '-l', '-c', 'true'],
};

/** The time of a program that does nothing, in a sandbox that has run it before. */
export async function measureExec(bench: Bench, { envd }: BenchSandbox): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const [name, command] of Object.entries(COMMANDS)) {
    try {
      await runIn(envd, command, bench.signal);
      const samples: number[] = [];
      for (let round = 0; round < bench.count; round++) {
        samples.push((await timed(() => runIn(envd, command, bench.signal))).ms);
      }
      measurements.push(measured(name, 'ms', samples));
    } catch (caught) {
      bench.signal.throwIfAborted();
      measurements.push({ name, notMeasured: (caught as Error).message });
    }
  }
  return measurements;
}
