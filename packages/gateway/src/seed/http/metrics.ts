import { readFileStream } from '@sandbox-backend/sdk';
import type { SeedSandbox } from '../sandbox.ts';
import { ROOT } from '../services/guest.ts';
import { readWhole } from '../services/read-whole.ts';
import { type Exchange, sendText } from './route.ts';

/** Busy time and all time of each processor, in clock ticks since boot. */
export type CpuSample = ReadonlyMap<string, { busy: number; total: number }>;

/** `GET /metrics`: the gauges and counters of the seed's daemon, as Prometheus reads them. */
export async function metrics({ sandbox, res, signal }: Exchange): Promise<void> {
  const read = (path: string) => readProc(sandbox, path, signal);
  const [stat, memory, network] = await Promise.all([
    read('/proc/stat'),
    read('/proc/meminfo'),
    read('/proc/net/dev'),
  ]);
  const before = sandbox.cpus;
  sandbox.cpus = parseCpus(stat);
  const text = [cpuLines(sandbox.cpus, before), memoryLines(memory), networkLines(network)].join('');
  sendText(res, 200, text, 'text/plain; version=0.0.4; charset=utf-8');
}

async function readProc({ endpoint, held }: SeedSandbox, path: string, signal: AbortSignal): Promise<string> {
  return readWhole(await readFileStream(endpoint, path, { user: ROOT, signal }), held);
}

export function parseCpus(stat: string): CpuSample {
  const sample = new Map<string, { busy: number; total: number }>();
  for (const [, cpu = '', figures = ''] of stat.matchAll(/^(cpu\d+) ([\d ]+)$/gm)) {
    const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = figures
      .trim()
      .split(/ +/)
      .map(Number);
    const busy = user + nice + system + irq + softirq + steal;
    sample.set(cpu, { busy, total: busy + idle + iowait });
  }
  return sample;
}

/** Since it was last asked for, else since boot. */
export function cpuLines(now: CpuSample, before: CpuSample | undefined): string {
  const values = [...now].map(([cpu, { busy, total }]): [string, number] => {
    const past = before?.get(cpu) ?? { busy: 0, total: 0 };
    const ticks = total - past.total;
    return [`{cpuid="${cpu}"}`, ticks > 0 ? Math.round(((busy - past.busy) / ticks) * 10_000) / 100 : 0];
  });
  return family('cpu_percent', 'gauge', 'Processor time in use, in percent.', values);
}

const MEMORY: readonly [name: string, key: string][] = [
  ['active_file', 'Active(file)'],
  ['inactive_file', 'Inactive(file)'],
  ['active_anon', 'Active(anon)'],
  ['inactive_anon', 'Inactive(anon)'],
  ['available', 'MemAvailable'],
  ['free', 'MemFree'],
  ['cached', 'Cached'],
  ['swapfree', 'SwapFree'],
];

export function memoryLines(meminfo: string): string {
  const bytes = new Map<string, number>();
  for (const [, key = '', kib = ''] of meminfo.matchAll(/^(\S+):\s+(\d+) kB$/gm))
    bytes.set(key, Number(kib) * 1024);
  const of = (key: string) => bytes.get(key) ?? 0;
  const used = of('MemTotal') - of('MemFree') - of('Buffers') - of('Cached') - of('SReclaimable');
  return [
    ...MEMORY.map(([name, key]): [string, number] => [name, of(key)]),
    ['used', Math.max(used, 0)] as const,
  ]
    .map(([name, value]) =>
      family(`fcvm_mem_${name}`, 'gauge', `Memory of the guest: ${name}, in bytes.`, [['', value]]),
    )
    .join('');
}

const NETWORK: readonly [name: string, column: number, help: string][] = [
  ['rx_bytes', 0, 'Bytes received.'],
  ['rx_pkt', 1, 'Packets received.'],
  ['tx_bytes', 8, 'Bytes sent.'],
  ['tx_pkt', 9, 'Packets sent.'],
];

export function networkLines(dev: string): string {
  const interfaces = [...dev.matchAll(/^\s*([\w.-]+):\s*([\d ]+)$/gm)].map(([, name = '', figures = '']) => ({
    label: `{interface="${name}"}`,
    figures: figures.trim().split(/ +/).map(Number),
  }));
  return NETWORK.map(([name, column, help]) =>
    family(
      `fcvm_net_${name}`,
      'counter',
      help,
      interfaces.map(({ label, figures }) => [label, figures[column] ?? 0]),
    ),
  ).join('');
}

const family = (name: string, type: string, help: string, values: readonly (readonly [string, number])[]) =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${values.map(([label, value]) => `${name}${label} ${value}\n`).join('')}`;
