import { SandboxError } from '@sandbox-backend/protocol';
import { memoryOf } from './measure-memory.ts';
import { type Bench, type BenchSandbox, type Measurement, measured, timed } from './measurement.ts';
import { runIn } from './run-in.ts';

/** Many sandboxes asked for at once; each must answer a program's output. */
export async function measureBurst(bench: Bench): Promise<Measurement[]> {
  const { concurrency, signal, sandboxes } = bench;
  const failures: string[] = [];
  const made: BenchSandbox[] = [];
  const one = async () => {
    const sandbox = await sandboxes.create();
    made.push(sandbox);
    const printed = await runIn(sandbox.envd, ['/bin/echo', 'ok'], signal);
    if (printed !== 'ok\n') throw new SandboxError('internal', `echo ok printed ${JSON.stringify(printed)}`);
  };
  const samples: number[] = [];
  const { ms: wallMs } = await timed(() =>
    Promise.all(
      Array.from({ length: concurrency }, async () => {
        try {
          samples.push((await timed(one)).ms);
        } catch (caught) {
          failures.push(SandboxError.from(caught).message);
        }
      }),
    ),
  );
  signal.throwIfAborted();
  const more = failures.length > 0 ? { failures } : {};
  const wall = failures.length === 0 ? [wallMs] : [];
  return [
    measured(`${concurrency} at once: all answer`, 'ms', wall, more),
    measured(`${concurrency} at once: each`, 'ms', samples, more),
    ...(await memoryOf(bench, made, `${concurrency} at once, after a program: memory of each`)),
  ];
}
