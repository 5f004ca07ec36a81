import { readdir, statfs } from 'node:fs/promises';
import { cpus, freemem, loadavg, totalmem } from 'node:os';
import type { MetricFamily, MetricLabels } from '@sandbox-backend/kit';
import type { NodeInfo } from '@sandbox-backend/protocol';

export type GaugeSources = {
  dataRoot: string;
  version: string;
  node: { describe(): NodeInfo };
  /** Rows of the control plane that hold a place on the host. */
  countSandboxes(): Record<string, number>;
};

/** What is so at this moment: sandboxes, the host's room for more, the process itself. */
export async function readGauges(sources: GaugeSources): Promise<MetricFamily[]> {
  return [...sandboxes(sources), ...(await host(sources.dataRoot)), ...(await thisProcess())];
}

function sandboxes({ version, node, countSandboxes }: GaugeSources): MetricFamily[] {
  const { vmm, sandboxes: running, freeSlots, warmMachines } = node.describe();
  const states = Object.entries(countSandboxes()).map(([state, value]) => ({ labels: { state }, value }));
  return [
    gauge('sandbox_backend_build_info', 'Always 1; the labels say what runs here.', 1, {
      version,
      vmm: vmm.kind,
      vmm_version: vmm.version,
    }),
    {
      name: 'sandbox_backend_sandboxes',
      help: 'Sandboxes that hold a place on the host, by state.',
      type: 'gauge',
      samples: states,
    },
    gauge('sandbox_backend_machines_running', 'Sandboxes whose machine is on this host.', running),
    gauge('sandbox_backend_warm_machines', 'Machines restored ahead of their sandbox.', warmMachines),
    gauge('sandbox_backend_free_slots', 'Network slots that no machine holds.', freeSlots),
  ];
}

async function host(dataRoot: string): Promise<MetricFamily[]> {
  const disk = await statfs(dataRoot);
  return [
    gauge('sandbox_backend_host_memory_size_bytes', 'Memory of the host.', totalmem()),
    gauge('sandbox_backend_host_memory_available_bytes', 'Memory that new machines could use.', freemem()),
    gauge('sandbox_backend_host_cpus', 'Processors of the host.', cpus().length),
    gauge('sandbox_backend_host_load1', 'Load of the host over one minute.', loadavg()[0] ?? 0),
    gauge(
      'sandbox_backend_data_size_bytes',
      'Size of the file system of the data folder.',
      disk.blocks * disk.bsize,
    ),
    gauge('sandbox_backend_data_free_bytes', 'Space left there.', disk.bavail * disk.bsize),
  ];
}

/** Under the names that every client library of Prometheus uses. */
async function thisProcess(): Promise<MetricFamily[]> {
  const { user, system } = process.cpuUsage();
  return [
    {
      name: 'process_cpu_seconds_total',
      help: 'Processor time of the server.',
      type: 'counter',
      samples: [{ value: (user + system) / 1e6 }],
    },
    gauge('process_resident_memory_bytes', 'Memory of the server.', process.memoryUsage.rss()),
    gauge(
      'process_start_time_seconds',
      'When the server started, in Unix time.',
      performance.timeOrigin / 1000,
    ),
    gauge('process_open_fds', 'Open files of the server.', (await readdir('/proc/self/fd')).length),
  ];
}

const gauge = (name: string, help: string, value: number, labels: MetricLabels = {}): MetricFamily => ({
  name,
  help,
  type: 'gauge',
  samples: [{ labels, value }],
});
