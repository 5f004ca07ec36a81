import { readFileSync, statfsSync } from 'node:fs';
import { jsonResponse } from './http/json.ts';

type CpuTimes = { busy: number; total: number; count: number };

let before: CpuTimes | undefined;

/** What the guest uses now; the processor time is that since this was last asked for, else since boot. */
export function metrics(): Response {
  const cpu = cpuTimes(readFileSync('/proc/stat', 'utf8'));
  const busy = cpu.busy - (before?.busy ?? 0);
  const total = cpu.total - (before?.total ?? 0);
  before = cpu;
  const memory = readFileSync('/proc/meminfo', 'utf8');
  const memTotal = kib(memory, 'MemTotal');
  const memCache = kib(memory, 'Cached') + kib(memory, 'SReclaimable') + kib(memory, 'Buffers');
  const memUsed = Math.max(memTotal - kib(memory, 'MemFree') - memCache, 0);
  const disk = statfsSync('/');
  const blockBytes = Number(disk.bsize);
  return jsonResponse({
    ts: Math.floor(Date.now() / 1000),
    cpu_count: cpu.count,
    cpu_used_pct: total > 0 ? Math.round((busy / total) * 10_000) / 100 : 0,
    mem_total: memTotal,
    mem_used: memUsed,
    mem_cache: memCache,
    mem_total_mib: Math.floor(memTotal / 1048576),
    mem_used_mib: Math.floor(memUsed / 1048576),
    disk_used: (Number(disk.blocks) - Number(disk.bfree)) * blockBytes,
    disk_total: Number(disk.blocks) * blockBytes,
  });
}

/** In clock ticks, of all processors together. */
export function cpuTimes(stat: string): CpuTimes {
  const lines = stat.split('\n');
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = lines[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const busy = user + nice + system + irq + softirq + steal;
  return {
    busy,
    total: busy + idle + iowait,
    count: lines.filter((line) => /^cpu\d/.test(line)).length,
  };
}

const kib = (meminfo: string, key: string) =>
  Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
