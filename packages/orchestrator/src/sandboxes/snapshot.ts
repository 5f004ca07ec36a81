import { randomUUID } from 'node:crypto';
import { chmod, link, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { flattenDisk } from '@sandbox-backend/host';
import { acquireFileLock, log, Operation, run } from '@sandbox-backend/kit';
import {
  BUILD_FILES,
  type Build,
  findTemplate,
  freezeFiles,
  type MachineDeps,
  openWorkFolder,
  paths,
  publishBuild,
  readBuild,
  removeOldBuilds,
  runInGuest,
  writableDisk,
} from '@sandbox-backend/machines';
import { type BuildManifest, SandboxError, type SnapshotResult } from '@sandbox-backend/protocol';
import type { Resident } from '../resident.ts';
import { compactSnapshot } from './compact-snapshot.ts';

/** In the machine's folder, while its VMM writes them. */
const IN_ROOM = { state: 'snapshot.state', memory: 'snapshot.memory' } as const;
const RESUME_TIMEOUT_MS = 30_000;
const SYNC_TIMEOUT_MS = 10_000;

/**
 * Makes a build from a running sandbox: its memory, its device state and its disk, all of one moment. The sandbox
 * stands still while they are taken and runs on whatever happens; the build is published last, in one step.
 *
 * Errors: `already_exists` for the name of a template, `failed_precondition` while another snapshot of this name is made, `unavailable` when the sandbox ends meanwhile.
 */
export async function snapshotSandbox(
  op: Operation,
  deps: MachineDeps,
  resident: Resident,
  name: string,
): Promise<SnapshotResult> {
  const { held, manifest: source } = resident;
  await using stack = new AsyncDisposableStack();
  // What a sandbox has in memory is its owner's: no other user of this host may look into the folder.
  await mkdir(paths.template(deps.dataRoot, name), { recursive: true, mode: 0o700 });
  await mkdir(paths.builds(deps.dataRoot, name), { recursive: true });
  stack.use(await acquireFileLock(join(paths.builds(deps.dataRoot, name), '.lock'), `the snapshot ${name}`));
  stack.defer(() => removeIfEmpty(deps.dataRoot, name));
  await refuseTemplate(deps.dataRoot, name);
  const buildId = randomUUID();
  const { path: directory } = stack.use(await openWorkFolder(deps.dataRoot, buildId));
  const base = await readBuild(paths.build(deps.dataRoot, source.template, source.buildId));

  const { room } = held;
  const files = {
    stateFile: join(room.directory, IN_ROOM.state),
    memoryFile: join(room.directory, IN_ROOM.memory),
  };
  const removeFiles = async () => {
    for (const file of Object.values(files)) await rm(file, { force: true });
  };
  await removeFiles(); // of a server that was killed in the middle
  stack.defer(removeFiles);

  await op.phase('sync', () => syncGuest(op, resident));
  const pausedAt = performance.now();
  try {
    await op.phase('pause', () => held.machine.pause(op));
    await op.phase('save', () => held.machine.snapshot(op, files));
    await op.phase('copy disk', () => copyDisk(op, resident, directory));
  } finally {
    await resume(resident);
  }
  const pausedMs = Math.round(performance.now() - pausedAt);

  const described = describe(resident, name, buildId);
  await op.phase('disk', async () => {
    await takeFile(files.stateFile, join(directory, BUILD_FILES.state));
    await takeFile(files.memoryFile, join(directory, BUILD_FILES.memory));
    await finishDisks(op, base, directory);
  });
  // Files of a hostile VMM until here, and root's from here on: the machine that compacts them may only read them.
  await freezeFiles(directory, described);
  await op.phase('compact', () => compactSnapshot(op, deps, { directory, manifest: described }));
  const manifest = await op.phase('freeze', () => freezeFiles(directory, described));
  await op.phase('publish', () => publishBuild(deps.dataRoot, directory, manifest));
  await removeOldBuilds(deps.dataRoot, name, { keepPrevious: true });
  return { manifest, directory: paths.build(deps.dataRoot, name, buildId), pausedMs };
}

/** With the name's lock held: a template of that name may have been built a moment ago. */
async function refuseTemplate(dataRoot: string, name: string): Promise<void> {
  const known = await findTemplate(dataRoot, name);
  if (!known || known.manifest.snapshotOf) return;
  throw new SandboxError('already_exists', `${name} is a template; a snapshot needs a name of its own`);
}

/** Brings what the guest has not written yet to its disk: a VMM may hold such writes back until it is told to. */
async function syncGuest(op: Operation, { info, held }: Resident): Promise<void> {
  const patience = new Operation('sync the guest', { timeoutMs: SYNC_TIMEOUT_MS, signal: op.signal });
  const sync = { cmd: '/.envd/bin/busybox', args: ['sync'], user: 'root' };
  // A guest that does not answer is saved as it is: its memory holds what its disk does not.
  const synced = runInGuest(patience, info.address, sync, info.accessToken).catch(() => undefined);
  await Promise.race([synced, held.machine.exited]);
  op.signal.throwIfAborted();
}

/** The sandbox goes on even when the operation is over; one that cannot is seen to end by itself. */
async function resume({ held, info }: Resident): Promise<void> {
  const op = new Operation('resume after a snapshot', { timeoutMs: RESUME_TIMEOUT_MS });
  await held.machine.resume(op).catch((caught: unknown) => {
    log('error', 'snapshot.resume', {
      sandboxId: info.sandboxId,
      error: SandboxError.from(caught).describe(),
    });
  });
}

/** As the VMM left it: an overlay is joined with what lies below it later, while the sandbox runs again. */
async function copyDisk(op: Operation, { held, manifest }: Resident, directory: string): Promise<void> {
  const name = writableDisk(manifest.overlay);
  const stem = join(held.room.directory, name.replace(/\.ext4$/, ''));
  const isOverlay = await isPlainFile(`${stem}.qcow2`);
  const from = isOverlay ? `${stem}.qcow2` : `${stem}.ext4`;
  const to = join(directory, isOverlay ? OVERLAY : name);
  // -P: the folder is the VMM's, and what it puts in place of its disk is not followed.
  await run('cp', ['-P', '--reflink=auto', '--sparse=always', '--', from, to], { signal: op.signal });
  if (!(await isPlainFile(to))) {
    throw new SandboxError('internal', 'the disk of the sandbox is not a file: its VMM replaced it');
  }
  await chmod(to, 0o600);
}

const OVERLAY = 'disk.qcow2';

async function finishDisks(op: Operation, base: Build, directory: string): Promise<void> {
  const { overlay } = base.manifest;
  const name = writableDisk(overlay);
  const copied = join(directory, OVERLAY);
  if (await isPlainFile(copied)) {
    const backing = { path: join(base.directory, name), format: 'raw' as const };
    await flattenDisk(op, { from: copied, backing, to: join(directory, name), format: 'raw' });
    await rm(copied);
  }
  // Hard links: every build keeps the very disks that its machines have, at no cost.
  await link(join(base.directory, BUILD_FILES.envd), join(directory, BUILD_FILES.envd));
  if (overlay) await link(join(base.directory, BUILD_FILES.rootfs), join(directory, BUILD_FILES.rootfs));
}

/** Moves what the VMM wrote out of its reach. Both folders are of one file system. */
async function takeFile(from: string, to: string): Promise<void> {
  await rename(from, to);
  if (!(await isPlainFile(to))) {
    throw new SandboxError('internal', 'a file of the snapshot is not a file: the VMM replaced it');
  }
}

const isPlainFile = (path: string) =>
  lstat(path).then(
    (entry) => entry.isFile(),
    () => false,
  );

/** A first snapshot that failed leaves no name behind. */
async function removeIfEmpty(dataRoot: string, name: string): Promise<void> {
  const current = await lstat(paths.current(dataRoot, name)).catch(() => undefined);
  if (!current) await rm(paths.template(dataRoot, name), { recursive: true, force: true });
}

function describe({ manifest, held, info }: Resident, name: string, buildId: string): BuildManifest {
  return {
    ...manifest,
    template: name,
    buildId,
    createdAt: new Date().toISOString(),
    snapshotOf: { sandboxId: info.sandboxId },
    env: { ...manifest.env, ...held.record.sandbox?.env },
    files: {},
    trial: { at: '', restoreMs: 0 },
  };
}
