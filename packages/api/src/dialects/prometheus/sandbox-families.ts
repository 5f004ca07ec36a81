import type { MetricFamily, MetricLabels } from '@sandbox-backend/kit';
import type { ScrapedSandbox } from '../../sandboxes/scrape.ts';

type Value = (sandbox: ScrapedSandbox) => number | undefined;

const FAMILIES: [name: string, help: string, value: Value][] = [
  ['up', '1 when the guest answered, else 0.', ({ metrics }) => (metrics ? 1 : 0)],
  [
    'cpu_usage_ratio',
    'Processor time used, as a part of all its processors.',
    ({ metrics }) => metrics && metrics.cpuUsedPct / 100,
  ],
  ['cpus', 'Processors.', ({ row }) => row.vcpus],
  ['memory_size_bytes', 'Memory of the guest.', ({ metrics }) => metrics?.memTotal],
  ['memory_used_bytes', 'Memory used by programs.', ({ metrics }) => metrics?.memUsed],
  ['memory_cache_bytes', 'Memory used by the page cache.', ({ metrics }) => metrics?.memCache],
  ['disk_size_bytes', 'Size of the root file system.', ({ metrics }) => metrics?.diskTotal],
  ['disk_used_bytes', 'Space used on it.', ({ metrics }) => metrics?.diskUsed],
  ['start_time_seconds', 'When it started, in Unix time.', ({ row }) => row.startedAt / 1000],
  ['end_time_seconds', 'When its time will be over, in Unix time.', ({ row }) => row.endAt / 1000],
];

/** One series of each metric for each sandbox; what a guest did not say is left out. */
export function sandboxFamilies(sandboxes: readonly ScrapedSandbox[]): MetricFamily[] {
  return FAMILIES.map(([name, help, value]) => ({
    name: `sandbox_backend_sandbox_${name}`,
    help,
    type: 'gauge',
    samples: sandboxes.flatMap((sandbox) => {
      const found = value(sandbox);
      return found === undefined ? [] : [{ labels: labelsOf(sandbox), value: found }];
    }),
  }));
}

const labelsOf = ({ row }: ScrapedSandbox): MetricLabels => ({ sandbox_id: row.id, template: row.template });
