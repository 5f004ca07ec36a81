import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Operation } from '@sandbox-backend/kit';
import { checkEnvd, type HeldMachine, initGuest, requestEnvd, runInGuest } from '@sandbox-backend/machines';
import { SandboxError } from '@sandbox-backend/protocol';
import type { BuildSpec } from './build.ts';

/** Brings a booted guest to the state that every sandbox of the template begins in. */
export async function prepareGuest(op: Operation, spec: BuildSpec, held: HeldMachine): Promise<void> {
  const address = held.slot.ref.address;
  await op.phase('boot', () =>
    initGuest(op, held.machine, address, {
      sandboxId: spec.template,
      templateId: spec.template,
      env: spec.env,
      defaultUser: spec.defaultUser,
      defaultWorkdir: spec.defaultWorkdir,
    }),
  );
  if (spec.startCommand) {
    const { startCommand } = spec;
    await op.phase('start command', () => post(op, address, '/start', startCommand));
  }
  if (spec.readyCommand !== undefined) {
    const body = { cmd: spec.readyCommand, user: spec.defaultUser, timeoutMs: spec.readyTimeoutMs };
    await op.phase('ready command', () => post(op, address, '/ready', body));
  }
  await op.phase('warm up', () => warmUp(op, spec, address));
  await op.phase('settle', () => untilQuiet(op, held.machine.ref.pid));
}

async function post(op: Operation, address: string, path: string, body: unknown): Promise<void> {
  const response = await requestEnvd(address, { method: 'POST', path, body, signal: op.signal });
  if (response.status === 504 || response.status === 408) {
    throw new SandboxError('deadline_exceeded', 'the command was not ready in time', {
      log: response.body.toString('utf8').slice(-4000),
    });
  }
  checkEnvd(response, path.slice(1));
}

/** What every sandbox does first is done here, often enough that its pages and envd's compiled code are in the snapshot. */
async function warmUp(op: Operation, spec: BuildSpec, address: string): Promise<void> {
  for (let round = 0; round < 60; round++) {
    await runInGuest(op, address, {
      cmd: '/bin/bash',
      args: ['-l', '-c', 'true'],
      user: spec.defaultUser,
    }).catch(
      () => undefined, // an image without a shell has nothing to warm up
    );
  }
  await runInGuest(op, address, { cmd: '/.envd/bin/busybox', args: ['sync'], user: 'root' }).catch(
    () => undefined,
  );
}

/**
 * Waits until the VMM uses less than a fifth of a processor for half a second: boot jobs and the start command
 * have settled, and the snapshot holds no half-done work. Bounded: a program that never rests is snapshotted at work.
 */
async function untilQuiet(op: Operation, pid: number): Promise<void> {
  const windowMs = 500;
  let before = await cpuMs(pid);
  for (let round = 0; round < 60; round++) {
    await sleep(windowMs, undefined, { signal: op.signal });
    const now = await cpuMs(pid);
    if (now - before < windowMs / 5) return;
    before = now;
  }
}

/** utime + stime of /proc/PID/stat, in clock ticks of 10 ms. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10;
}
