import { execFile } from 'node:child_process';
import { TEMPLATE_MANAGER } from '../template-manager.ts';
import { type Bench, type Measurement, measured } from './measurement.ts';

const NAME = 'bare VMM restored by hand';

/**
 * The floor beneath a create: the same snapshot restored by hand with the bare VMM, without the
 * server. template-manager does it, since it knows builds and VMMs and this program knows neither.
 */
export async function measureBareRestore(bench: Bench): Promise<Measurement[]> {
  const args = ['bare-restore', '--template', bench.template, '--count', String(bench.count), '--json'];
  const env = { ...process.env, SANDBOX_DATA_ROOT: bench.connection.dataRoot };
  const { status, stdout, stderr } = await runToEnd(TEMPLATE_MANAGER, args, env, bench.signal);
  bench.signal.throwIfAborted();
  if (status === 0) return [readBareRestore(stdout)];
  const reason = /^error: (.*)/m.exec(stderr)?.[1] ?? `template-manager ended with ${status}`;
  return [{ name: NAME, notMeasured: reason }];
}

/** From what template-manager prints: `{ samples: [{ phase: milliseconds, …, total }] }`. */
export function readBareRestore(stdout: string): Measurement {
  const { samples } = JSON.parse(stdout) as { samples: Record<string, number>[] };
  const phases: Record<string, number[]> = {};
  for (const [phase, ms] of samples.flatMap((sample) => Object.entries(sample))) {
    phases[phase] ??= [];
    phases[phase].push(ms);
  }
  const { total = [], ...rest } = phases;
  return measured(NAME, 'ms', total, { phases: rest });
}

type Ended = { status: number; stdout: string; stderr: string };

const runToEnd = (file: string, args: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal) =>
  new Promise<Ended>((resolve) => {
    // SIGTERM lets it take down what it made.
    execFile(file, args, { env, signal, killSignal: 'SIGTERM' }, (error, stdout, stderr) => {
      resolve({ status: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr });
    });
  });
