import { randomUUID } from 'node:crypto';
import { chmod, link, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireFileLock, type Operation, randomId, run } from '@sandbox-backend/kit';
import {
  BUILD_FILES,
  findTemplate,
  freezeFiles,
  type HeldMachine,
  type MachineDeps,
  openWorkFolder,
  paths,
  publishBuild,
  removeOldBuilds,
  writableDisk,
} from '@sandbox-backend/machines';
import { type BuildManifest, SandboxError } from '@sandbox-backend/protocol';
import type { Vmm } from '@sandbox-backend/vmm';
import type { Kernel } from '../guest/kernel.ts';
import { bootMachine } from './boot.ts';
import { prepareGuest } from './prepare-guest.ts';
import { tryRestore } from './trial.ts';

/** What a build is made from, once its root file system exists. */
export type BuildSpec = {
  template: string;
  vcpus: number;
  memoryMib: number;
  diskMib: number;
  overlay: boolean;
  kernel: Kernel;
  vmm: Vmm;
  /** The guest's console goes to `onConsole` while it boots. */
  debug: boolean;
  env: Record<string, string>;
  defaultUser: string;
  defaultWorkdir?: string;
  startCommand?: { cmd: string; env: Record<string, string>; cwd?: string; user: string };
  /** Run again and again until it exits with 0; then the snapshot is taken. */
  readyCommand?: string;
  readyTimeoutMs: number;
  /** Root file system and, with an overlay, the empty upper layer: both are copied, never changed. */
  rootfs: { path: string; upper?: string };
  envdDisk: string;
  envdVersion: string;
};

export type BuildOptions = { onConsole?: (text: string) => void };

/**
 * Builds a template: boots a machine from the root file system, brings the guest to its first state,
 * takes the snapshot, restores it once for trial, and only then puts it in force, in one step.
 * A build that fails leaves the one in force as it was, and nothing of its own.
 *
 * Errors name the step that failed; `log` has the end of the guest's console.
 */
export async function buildTemplate(
  op: Operation,
  deps: MachineDeps,
  spec: BuildSpec,
  options: BuildOptions = {},
): Promise<BuildManifest> {
  await using held = new AsyncDisposableStack();
  const folder = paths.builds(deps.dataRoot, spec.template);
  await mkdir(folder, { recursive: true });
  held.use(await acquireFileLock(join(folder, '.lock'), `the template ${spec.template}`));
  await refuseSnapshot(deps.dataRoot, spec.template);
  await removeOldBuilds(deps.dataRoot, spec.template, { keepPrevious: true });

  const buildId = randomUUID();
  const { path: directory } = held.use(await openWorkFolder(deps.dataRoot, buildId));

  await op.phase('copy disk', () => copyDisk(op, directory, spec));
  await snapshotOnce(op, deps, spec, { buildId, directory }, options);
  const manifest = await op.phase('freeze', async () => {
    await linkSharedDisks(directory, spec);
    return freezeFiles(directory, describe(spec, buildId));
  });
  manifest.trial = await op.phase('trial restore', () => tryRestore(op, deps, { directory, manifest }));
  await op.phase('publish', () => publishBuild(deps.dataRoot, directory, manifest));
  await removeOldBuilds(deps.dataRoot, spec.template, { keepPrevious: true });
  return manifest;
}

/** A snapshot belongs to a team; a template of its name would be everyone's. */
async function refuseSnapshot(dataRoot: string, name: string): Promise<void> {
  const known = await findTemplate(dataRoot, name);
  if (!known?.manifest.snapshotOf) return;
  throw new SandboxError(
    'already_exists',
    `${name} is a snapshot of a sandbox; a template needs a name of its own`,
    {
      hint: `Choose another name, or delete it: sandbox-cli snapshot delete ${name}`,
    },
  );
}

/** The machine's own copy of the disk that it writes. */
async function copyDisk(op: Operation, directory: string, spec: BuildSpec): Promise<void> {
  const source = spec.overlay ? spec.rootfs.upper : spec.rootfs.path;
  if (!source) throw new SandboxError('internal', 'an overlay needs an upper disk');
  const copy = join(directory, writableDisk(spec.overlay));
  await run('cp', ['--reflink=auto', '--sparse=always', source, copy], { signal: op.signal });
  await chmod(copy, 0o600);
}

/** Hard links: every build keeps the very disks that it was made with, at no cost. */
async function linkSharedDisks(directory: string, spec: BuildSpec): Promise<void> {
  await link(spec.envdDisk, join(directory, BUILD_FILES.envd));
  if (spec.overlay) await link(spec.rootfs.path, join(directory, BUILD_FILES.rootfs));
}

async function snapshotOnce(
  op: Operation,
  deps: MachineDeps,
  spec: BuildSpec,
  build: { buildId: string; directory: string },
  options: BuildOptions,
): Promise<void> {
  await using held = await bootMachine(op, deps, { ...spec, ...build, machineId: randomId('b') });
  const console = followConsole(op, held, options.onConsole);
  try {
    await prepareGuest(op, spec, held);
    await op.phase('snapshot', async () => {
      await held.machine.pause(op);
      await held.machine.snapshot(op, {
        stateFile: join(build.directory, BUILD_FILES.state),
        memoryFile: join(build.directory, BUILD_FILES.memory),
      });
    });
  } catch (caught) {
    throw explain(caught, spec.template, op, await console.tail());
  } finally {
    console.stop();
  }
}

/** Collects the end of the guest's console while the build goes on: after a crash the VMM has it no more. */
function followConsole(op: Operation, held: HeldMachine, onConsole?: (text: string) => void) {
  let kept = '';
  const read = async () => {
    const text = await held.machine.readConsole(op).catch(() => '');
    kept = (kept + text).slice(-8000);
    if (text) onConsole?.(text);
  };
  const timer = setInterval(() => void read(), 250);
  return {
    stop: () => clearInterval(timer),
    tail: async () => {
      await read();
      return kept.trim();
    },
  };
}

function explain(caught: unknown, template: string, op: Operation, console: string): SandboxError {
  const error = SandboxError.from(caught);
  const step = op.phases.findLast((phase) => phase.error !== undefined)?.name ?? 'boot';
  const log = [error.log, console && `guest console:\n${console.slice(-3000)}`].filter(Boolean).join('\n');
  return new SandboxError(error.code, `building ${template} failed in step "${step}": ${error.message}`, {
    cause: caught,
    ...(error.hint ? { hint: error.hint } : {}),
    ...(log ? { log } : {}),
  });
}

function describe(spec: BuildSpec, buildId: string): BuildManifest {
  return {
    schema: 1,
    template: spec.template,
    buildId,
    createdAt: new Date().toISOString(),
    vcpus: spec.vcpus,
    memoryMib: spec.memoryMib,
    diskMib: spec.diskMib,
    overlay: spec.overlay,
    kernelVersion: spec.kernel.version,
    vmm: spec.vmm.identity,
    envdVersion: spec.envdVersion,
    defaultUser: spec.defaultUser,
    ...(spec.defaultWorkdir ? { defaultWorkdir: spec.defaultWorkdir } : {}),
    ...(spec.startCommand ? { startCommand: spec.startCommand.cmd } : {}),
    env: spec.env,
    files: {},
    trial: { at: '', restoreMs: 0 },
  };
}
