/**
 * Prints the results of `suites.sh` as a page: each test on each VMM, how long the phases of a cold start take in ratio
 * to QEMU with KVM in the same run, and how long each kernel boots. What has no result is shown as not run.
 *
 *   node tests/nested/table.ts RESULTS >docs/vmm-matrix.md
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const VMMS = ['firecracker', 'cloud-hypervisor', 'qemu-kvm', 'qemu-tcg'] as const;
const TITLES = ['Firecracker', 'Cloud Hypervisor', 'QEMU, KVM', 'QEMU, emulation'];
/** The phases of `Server-Timing`, by what they are in a restore. */
const PHASES: Record<string, string[]> = {
  'start (process and its control socket)': ['vmm_start', 'vmm_connect'],
  'load (snapshot)': ['vmm_load'],
  resume: ['resume'],
  'envd (first answer with its identity)': ['guest'],
};

type Row = { file: string; name: string; status: string };
/** `boot` tells runs apart. */
type Timing = { boot: string; phases: Record<string, number>; pssMib: number };
type Boots = { kernels: Record<string, { version: string; bootMs: number }> };

const folder = process.argv[2];
if (!folder) throw new Error('usage: node tests/nested/table.ts RESULTS');

const rows = new Map<string, Map<string, string>>();
for (const file of readdirSync(folder)) {
  const [, vmm, kind] = /^(.*)\.(conformance|e2e)\.jsonl$/.exec(file) ?? [];
  if (!vmm || !kind) continue;
  for (const line of readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean)) {
    const row = JSON.parse(line) as Row;
    const key = `${kind === 'conformance' ? 'driver' : row.file.replace('.test.ts', '')}: ${row.name}`;
    rows.set(key, (rows.get(key) ?? new Map()).set(vmm, row.status));
  }
}
const cell = (value: string | undefined) =>
  value === 'pass' ? 'pass' : value === 'fail' ? '**fail**' : 'not run';
const line = (cells: string[]) => `| ${cells.join(' | ')} |`;

console.log(`# What passes on which VMM

Made by a command from the results of a run, \`node tests/nested/table.ts RESULTS\`; see CONTRIBUTING. The three columns
with KVM ran in a machine that QEMU emulates, on its true /dev/kvm; the last one ran beside it, on the host.

${line(['', ...TITLES])}
${line(['---', ...VMMS.map(() => '---')])}
${[...rows]
  .toSorted(([a], [b]) => a.localeCompare(b))
  .map(([name, byVmm]) => line([name, ...VMMS.map((vmm) => cell(byVmm.get(vmm)))]))
  .join('\n')}
${line(['**passed / failed / not run**', ...VMMS.map((vmm) => tally(vmm))])}
`);

const timings = readEach<Timing>('phases');
const base = timings.get('qemu-kvm');
const kvm = VMMS.slice(0, 3);
console.log(`## Phases of a cold start

Medians, in ratio to QEMU with KVM in the same run, on a processor that is itself emulated: they compare VMMs with each other and say
nothing of how long it takes on a real one.

${line(['', ...TITLES.slice(0, 3)])}
${line(['---', ...kvm.map(() => '---')])}
${Object.entries(PHASES)
  .map(([title, names]) => line([title, ...kvm.map((vmm) => ratio(timings.get(vmm), names))]))
  .join('\n')}
${line(['memory of an idle sandbox (PSS of its VMM)', ...kvm.map((vmm) => memory(timings.get(vmm)))])}`);

const boots = readEach<Boots>('kernels');
const kernels = [...new Set(VMMS.flatMap((vmm) => Object.keys(boots.get(vmm)?.kernels ?? {})))].toSorted();
console.log(`
## Boot with each kernel

From the start of the VMM to envd's first answer, median, in ratio to Debian's packaged kernel (\`default\`) on the same VMM in the same run.
Microvm kernels are those of \`scripts/build-kernel.sh\`.

${line(['kernel', ...TITLES])}
${line(['---', ...VMMS.map(() => '---')])}
${kernels.map((name) => line([name, ...VMMS.map((vmm) => bootRatio(boots.get(vmm), name))])).join('\n')}`);

function readEach<T>(kind: string): Map<string, T> {
  const found = new Map<string, T>();
  for (const vmm of VMMS) {
    const file = join(folder!, `${vmm}.${kind}.json`);
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (text.trim()) found.set(vmm, JSON.parse(text) as T);
  }
  return found;
}

function bootRatio(boot: Boots | undefined, name: string): string {
  const one = boot?.kernels[name];
  const packaged = boot?.kernels.default;
  return one && packaged ? (one.bootMs / packaged.bootMs).toFixed(2) : 'not run';
}

function tally(vmm: string): string {
  const all = [...rows.values()].map((byVmm) => byVmm.get(vmm) ?? 'not run');
  return ['pass', 'fail', 'not run'].map((status) => all.filter((one) => one === status).length).join(' / ');
}

function ratio(timing: Timing | undefined, names: string[]): string {
  const sum = (of: Timing) => names.reduce((total, name) => total + (of.phases[name] ?? 0), 0);
  return timing && base && timing.boot === base.boot && sum(base) > 0
    ? (sum(timing) / sum(base)).toFixed(2)
    : 'not run';
}

function memory(timing: Timing | undefined): string {
  return timing ? `${timing.pssMib.toFixed(0)} MiB` : 'not run';
}
