import { spawn } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram, Operation } from '@sandbox-backend/kit';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import { asFields } from '../control/fields.ts';
import { logTail } from '../log-tail.ts';
import { qemuArguments } from './arguments.ts';
import { CONSOLE_BYTES, readConsoleBytes } from './console.ts';
import { Qmp } from './qmp.ts';

export type ProbeOptions = { binary: string; identity: VmmIdentity; kernel: string; initrd: string };

const MARKER = 'guest-probe-ok';
const PATIENCE_MS = 15_000;

/**
 * Boots a small guest without disks or network that says that it runs. Everything that goes wrong is an
 * answer, except the end of the operation: that is thrown.
 */
export async function probeGuest(
  parent: Operation,
  options: ProbeOptions,
): Promise<{ ok: boolean; detail: string }> {
  const op = new Operation('the probe', { timeoutMs: PATIENCE_MS, signal: parent.signal });
  await using held = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'probe-'));
  held.defer(() => rm(directory, { recursive: true, force: true }));
  const vmmLog = join(directory, 'vmm.log');
  try {
    const qmp = held.use(await startProbe(op, options, directory, vmmLog, held));
    return { ok: true, detail: await waitForMarker(op, qmp) };
  } catch (caught) {
    parent.signal.throwIfAborted();
    const lastLine = (await logTail(vmmLog)).split('\n').at(-1);
    return { ok: false, detail: [SandboxError.from(caught).message, lastLine].filter(Boolean).join('; ') };
  }
}

async function startProbe(
  op: Operation,
  options: ProbeOptions,
  directory: string,
  vmmLog: string,
  held: AsyncDisposableStack,
): Promise<Qmp> {
  const controlSocket = join(directory, 'qmp.sock');
  const [binary, ...args] = qemuArguments(
    await findProgram(options.binary),
    options.identity,
    { vcpus: 1, memoryMib: 256, disks: [] },
    {
      memoryFile: join(directory, 'memory'),
      controlSocket,
      disks: [],
      kernel: {
        image: options.kernel,
        initrd: options.initrd,
        commandLine: 'console=ttyS0 quiet loglevel=1 panic=1 reboot=t random.trust_cpu=on probe=1',
      },
    },
    'boot',
  );
  await using log = await open(vmmLog, 'a');
  // What the guest said last must be readable after it has powered off.
  const child = spawn(binary!, [...args, '-no-shutdown'], { stdio: ['ignore', log.fd, log.fd] });
  const exited = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  held.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return Qmp.open(op, controlSocket, async () => child.exitCode === null && child.signalCode === null);
}

async function waitForMarker(op: Operation, qmp: Qmp): Promise<string> {
  for (let console = ''; ; await sleep(20)) {
    console = (console + (await readConsoleBytes(op, qmp)).toString()).slice(-CONSOLE_BYTES);
    if (console.includes(MARKER)) return MARKER;
    const { status } = asFields(await qmp.execute(op, 'query-status'));
    if (status === 'internal-error') throw new SandboxError('unavailable', 'the virtual processor failed');
    if (status === 'shutdown') throw new SandboxError('unavailable', 'the guest ended before it was ready');
  }
}
