import { type Operation, randomId } from '@sandbox-backend/kit';
import {
  type Build,
  initGuest,
  type MachineDeps,
  restoreMachine,
  runInGuest,
} from '@sandbox-backend/machines';
import { type BuildManifest, SandboxError } from '@sandbox-backend/protocol';

/**
 * Restores the finished snapshot once, as a sandbox would be, and runs a program in it. A snapshot of a
 * guest that had hung restores into the same hang: such a build is never published.
 */
export async function tryRestore(
  op: Operation,
  deps: MachineDeps,
  build: Build,
): Promise<BuildManifest['trial']> {
  const start = performance.now();
  await using held = await restoreMachine(op, deps, randomId('b'), build);
  await held.machine.resume(op);
  await initGuest(op, held.machine, held.slot.ref.address, {
    sandboxId: 'trial',
    templateId: build.manifest.template,
    env: build.manifest.env,
    defaultUser: build.manifest.defaultUser,
  });
  const restoreMs = Math.round(performance.now() - start);
  const { exitCode } = await runInGuest(op, held.slot.ref.address, {
    cmd: '/.envd/bin/busybox',
    args: ['true'],
    user: 'root',
  });
  if (exitCode !== 0)
    throw new SandboxError('internal', `the trial restore ran a program that exited with ${exitCode}`);
  return { at: new Date().toISOString(), restoreMs };
}
