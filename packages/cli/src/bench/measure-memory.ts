import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, type BenchSandbox, type Measurement, measured } from './measurement.ts';

const SETTLE_MS = 3000;

/** What an idle sandbox costs this host: the memory of its VMM process. */
export async function measureMemory(
  bench: Bench,
  sandbox: BenchSandbox,
  name = 'memory of an idle sandbox',
): Promise<Measurement[]> {
  const status = await bench.control.status();
  const pid = status?.sandboxes?.find(({ sandboxId }) => sandboxId === sandbox.id)?.pid;
  if (pid === undefined)
    return [{ name, notMeasured: 'the server does not tell the process of the sandbox' }];
  await sleep(SETTLE_MS, undefined, { signal: bench.signal });
  try {
    const { pss, uss } = parseSmapsRollup(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'));
    return [
      measured(`${name}: private`, 'MiB', [uss]),
      measured(`${name}: with its share (PSS)`, 'MiB', [pss]),
    ];
  } catch (caught) {
    return [{ name, notMeasured: `process ${pid}: ${(caught as Error).message}` }];
  }
}

/** The same of many at once, which share more: what each has of its build's pages is its part of them. */
export async function shareOfEach(bench: Bench): Promise<number[]> {
  const status = await bench.control.status();
  const pids = status?.sandboxes?.map(({ pid }) => pid) ?? [];
  const texts = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')),
  );
  return texts.filter(Boolean).map((text) => parseSmapsRollup(text).pss);
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
