import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SandboxError } from '@sandbox-backend/protocol';
import { type Bench, type BenchSandbox, type Measurement, measured } from './measurement.ts';

/** What an idle sandbox costs this host, alone: the memory of its VMM process. */
export async function measureMemory(
  bench: Bench,
  sandbox: BenchSandbox,
  name = 'memory of an idle sandbox',
): Promise<Measurement[]> {
  await sleep(bench.settleSeconds * 1000, undefined, { signal: bench.signal });
  return memoryOf(bench, [sandbox], name);
}

/** The same of many at once: what they map of their build, of the VMM and of its libraries is there once for all. */
export async function measureIdleTogether(bench: Bench): Promise<Measurement[]> {
  const { concurrency, settleSeconds, sandboxes, signal } = bench;
  const name = `${concurrency} idle at once, cold: memory of each`;
  const made: BenchSandbox[] = [];
  try {
    while (made.length < concurrency) {
      signal.throwIfAborted();
      made.push(await sandboxes.create({ cold: true }));
    }
    await sleep(settleSeconds * 1000, undefined, { signal });
    return await memoryOf(bench, made, name);
  } catch (caught) {
    signal.throwIfAborted();
    return [{ name, notMeasured: SandboxError.from(caught).message }];
  } finally {
    await Promise.allSettled(made.map((sandbox) => sandboxes.delete(sandbox)));
  }
}

/** Of sandboxes that the server tells the processes of. */
export async function memoryOf(
  bench: Bench,
  sandboxes: BenchSandbox[],
  name: string,
): Promise<Measurement[]> {
  const rows = (await bench.control.status())?.sandboxes ?? [];
  const wanted = new Set(sandboxes.map(({ id }) => id));
  const pids = rows.flatMap(({ sandboxId, pid }) => (wanted.has(sandboxId) && pid ? [pid] : []));
  if (pids.length < wanted.size)
    return [{ name, notMeasured: 'the server does not tell the process of the sandbox' }];
  try {
    const texts = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/smaps_rollup`, 'utf8')));
    const memory = texts.map(parseSmapsRollup);
    return [
      measured(
        `${name}: private`,
        'MiB',
        memory.map(({ uss }) => uss),
      ),
      measured(
        `${name}: with its share (PSS)`,
        'MiB',
        memory.map(({ pss }) => pss),
      ),
    ];
  } catch (caught) {
    return [{ name, notMeasured: (caught as Error).message }];
  }
}

/** Mebibytes: `pss` counts shared pages by their share, `uss` only what no other process maps. */
export function parseSmapsRollup(text: string): { pss: number; uss: number } {
  const mebibytes = (field: string) => {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text);
    if (!found) throw new Error(`smaps_rollup has no ${field}`);
    return Number(found[1]) / 1024;
  };
  return {
    pss: mebibytes('Pss'),
    uss: mebibytes('Private_Clean') + mebibytes('Private_Dirty') + mebibytes('Private_Hugetlb'),
  };
}
