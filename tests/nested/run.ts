/**
 * Runs one command of the project on a machine that has a working /dev/kvm, on a host that has none: QEMU emulates
 * an AMD processor with SVM and nested paging, and the Linux in it has kvm-amd. What runs in there is real, and slow.
 *
 *   node tests/nested/run.ts [--timeout SECONDS] [--memory MIB] [--results FOLDER] [--program NAME=FILE]...
 *                            [--env NAME=VALUE]... [--cpu MODEL] -- COMMAND...
 *
 * The command runs in the project's folder; its output comes back as it is printed, and its exit status is this
 * program's. What it leaves in /results comes back in FOLDER.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Operation, run } from '@sandbox-backend/kit';
import { baseDisk, exists } from './base-disk.ts';
import { dataDisk, jobDisk, projectDisk } from './work-disks.ts';

const checkout = resolve(import.meta.dirname, '..', '..');
const dataRoot = process.env.SANDBOX_DATA_ROOT || '/var/lib/sandbox-backend-test';
/** The rig knows when the command ended by this line. */
const EXIT = /^rig: exit (\d+)\r?$/m;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    timeout: { type: 'string', default: '1800' },
    memory: { type: 'string', default: '10240' },
    cpu: { type: 'string', default: 'EPYC-v1,+svm,+npt' },
    results: { type: 'string' },
    program: { type: 'string', multiple: true, default: [] },
    env: { type: 'string', multiple: true, default: [] },
  },
});

const pairs = (list: string[]) =>
  Object.fromEntries(
    list.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );

process.exitCode = await main();

async function main(): Promise<number> {
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort());
  const op = new Operation('the nested rig', {
    timeoutMs: Number(values.timeout) * 1000,
    signal: interrupt.signal,
  });
  const kernel = join(dataRoot, 'kernels/default');
  if (!(await exists(join(kernel, 'version')))) {
    console.error(`error: no kernel in ${kernel}\nhint: bin/template-manager prepare`);
    return 1;
  }
  const version = (await readFile(join(kernel, 'version'), 'utf8')).trim();
  const base = await baseDisk(op, join(dataRoot, 'cache/nested'), version);
  const folder = await mkdtemp(join(tmpdir(), 'nested-'));
  try {
    const job = { command: positionals, environment: pairs(values.env), programs: pairs(values.program) };
    const disks = [
      base,
      await jobDisk(op, folder, job),
      await projectDisk(op, folder, checkout),
      await dataDisk(op, folder, dataRoot),
    ];
    const results = join(folder, 'results.tar');
    await run('truncate', ['-s', '64M', results]);
    const status = await boot(op, kernel, disks, results);
    if (values.results) {
      await mkdir(values.results, { recursive: true });
      await run('tar', ['-xf', results, '-C', values.results]);
    }
    return status;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function boot(op: Operation, kernel: string, disks: string[], results: string): Promise<number> {
  const drive = (file: string, index: number, snapshot: string) => [
    ...['-drive', `file=${file},format=raw,if=none,id=d${index},snapshot=${snapshot},cache=unsafe`],
    ...['-device', `virtio-blk-pci,drive=d${index}`],
  ];
  const consoleFile = join(dirname(results), 'console.log');
  const args = [
    ...[
      '-nodefaults',
      '-no-user-config',
      '-display',
      'none',
      '-no-reboot',
      '-M',
      'q35,accel=tcg,graphics=off',
    ],
    // One processor: with two that are emulated side by side, QEMU now and then loses the GS of the Linux in there
    // when a guest exits, and its kernel stops.
    ...['-cpu', values.cpu, '-smp', '1', '-m', values.memory],
    ...['-kernel', join(kernel, 'vmlinux'), '-initrd', join(kernel, 'initrd')],
    ...[
      '-append',
      'console=ttyS0 quiet loglevel=1 panic=1 random.trust_cpu=on mitigations=off net.ifnames=0',
    ],
    // Nothing of a run is kept: what it writes goes to temporary files of QEMU's.
    ...disks.flatMap((file, index) => drive(file, index, 'on')),
    ...drive(results, disks.length, 'off'),
    ...['-serial', `file:${consoleFile}`, '-serial', 'stdio', '-device', 'virtio-rng-pci'],
  ];
  const machine = spawn('qemu-system-x86_64', args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    signal: op.signal,
  });
  let tail = '';
  machine.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text.replaceAll('\r\n', '\n'));
    tail = (tail + text).slice(-4000);
  });
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  machine.once('error', (error) => console.error(`error: ${error.message}`));
  machine.once('close', () => end());
  await ended;
  const status = EXIT.exec(tail)?.[1];
  if (status !== undefined) return Number(status);
  const last = (await readFile(consoleFile, 'utf8')).slice(-4000);
  console.error(`${last}\nerror: the rig's machine ended before its command did`);
  return 1;
}
