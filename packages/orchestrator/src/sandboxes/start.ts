import { mutex, type Operation, randomId } from '@sandbox-backend/kit';
import {
  currentBuild,
  ENVD_PORT,
  type HeldMachine,
  initGuest,
  type MachineDeps,
  restoreMachine,
  writeRecord,
} from '@sandbox-backend/machines';
import {
  type BuildManifest,
  type RunningSandbox,
  SandboxError,
  type StartRequest,
} from '@sandbox-backend/protocol';
import type { WarmPool } from '../pool/warm-pool.ts';
import type { Resident } from '../resident.ts';

export type StartDeps = MachineDeps & { pool: WarmPool };

/**
 * Starts one sandbox and returns when its guest has its identity and answers.
 *
 * A warm machine of the build is taken when there is one; it stands where a restored machine stands,
 * paused, and from there on both go the same way.
 */
export async function startSandbox(op: Operation, deps: StartDeps, request: StartRequest): Promise<Resident> {
  const build = await op.phase('template', () => currentBuild(deps.dataRoot, request.template));
  if (!build) {
    throw new SandboxError('not_found', `template '${request.template}' not found`, {
      hint: 'sandbox-cli template ls shows the templates; template-manager --template FILE builds one.',
    });
  }
  await using held = new AsyncDisposableStack();
  const warm = request.cold ? undefined : deps.pool.claim(build);
  const machine = held.use(warm ?? (await restoreMachine(op, deps, randomId('m'), build)));

  if (!request.allowInternet) await op.phase('egress', () => machine.slot.allowInternet(op, false));
  const info = describe(machine, build.manifest, request);
  machine.record.sandbox = {
    sandboxId: request.sandboxId,
    startedAt: info.startedAt,
    env: request.env,
    ...(request.accessToken ? { accessToken: request.accessToken } : {}),
  };
  await op.phase('record', () => writeRecord(deps.dataRoot, machine.record));

  await op.phase('resume', () => machine.machine.resume(op));
  await op.phase('guest', () =>
    initGuest(op, machine.machine, info.address, {
      sandboxId: request.sandboxId,
      templateId: request.template,
      accessToken: request.accessToken,
      env: { ...build.manifest.env, ...request.env },
      defaultUser: build.manifest.defaultUser,
      defaultWorkdir: build.manifest.defaultWorkdir,
    }),
  );
  held.move();
  return { info, held: machine, manifest: build.manifest, alone: mutex() };
}

/** What the control plane and the gateway may know of a machine. */
export function describe(
  machine: HeldMachine,
  manifest: BuildManifest,
  sandbox: { sandboxId: string; accessToken?: string; startedAt?: string },
): RunningSandbox {
  return {
    sandboxId: sandbox.sandboxId,
    template: manifest.template,
    buildId: manifest.buildId,
    address: machine.slot.ref.address,
    envdPort: ENVD_PORT,
    envdVersion: manifest.envdVersion,
    vcpus: manifest.vcpus,
    memoryMib: manifest.memoryMib,
    diskMib: manifest.diskMib,
    kernelVersion: manifest.kernelVersion,
    slotIndex: machine.slot.ref.index,
    pid: machine.machine.ref.pid,
    startedAt: sandbox.startedAt ?? new Date().toISOString(),
    ...(sandbox.accessToken ? { accessToken: sandbox.accessToken } : {}),
  };
}
