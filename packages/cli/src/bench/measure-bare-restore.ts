import { execFile } from 'node:child_process';
import { TEMPLATE_MANAGER } from '../template-manager.ts';
import { type Bench, type Measurement, measured } from './measurement.ts';

/**
 * The floor beneath a create: the same snapshot restored by hand with the bare VMM, without the
 * server. template-manager does it, since it knows builds and VMMs and this program knows neither.
 */
export async function measureBareRestore(bench: Bench): Promise<Measurement[]> {
  const name = 'bare VMM restored by hand';
  const args = ['bare-restore', '--template', bench.template, '--json'];
  const { status, stdout, stderr } = await runToEnd(TEMPLATE_MANAGER, args, bench.signal);
  bench.signal.throwIfAborted();
  if (status !== 0) {
    const reason = stderr.trim().split('\n').at(-1) || `${TEMPLATE_MANAGER} ended with ${status}`;
    return [{ name, notMeasured: reason }];
  }
  return readPhases(stdout).map(([phase, ms]) => measured(`${name}: ${phase}`, 'ms', [ms]));
}

function readPhases(stdout: string): [string, number][] {
  const value = JSON.parse(stdout) as Record<string, unknown>;
  return Object.entries(value).filter((entry): entry is [string, number] => typeof entry[1] === 'number');
}

type Ended = { status: number; stdout: string; stderr: string };

const runToEnd = (file: string, args: readonly string[], signal: AbortSignal): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(file, args, { signal }, (error, stdout, stderr) => {
      resolve({ status: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr });
    });
  });
