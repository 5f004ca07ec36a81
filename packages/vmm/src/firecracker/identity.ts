import { run } from '@sandbox-backend/kit';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import { hostCpu, hostKernel } from '../host-cpu.ts';

/** The oldest that is driven: from 1.16 on vsock and VMGENID work after a restore, and the console can be limited. */
const OLDEST = { major: 1, minor: 16 };

/** Asks the Firecracker binary what it is, and which snapshots it reads. */
export async function firecrackerIdentity(binary: string, signal?: AbortSignal): Promise<VmmIdentity> {
  const ask = async (flag: string) => (await run(binary, [flag], signal ? { signal } : {})).stdout;
  const said = await ask('--version');
  const [, version, major, minor] = /^Firecracker v((\d+)\.(\d+)\.[0-9A-Za-z.-]+)/m.exec(said) ?? [];
  if (!version) {
    throw new SandboxError('failed_precondition', `${binary} does not say which Firecracker it is`, {
      log: said.slice(0, 500),
    });
  }
  if (Number(major) < OLDEST.major || (Number(major) === OLDEST.major && Number(minor) < OLDEST.minor)) {
    throw new SandboxError(
      'failed_precondition',
      `Firecracker ${version} is too old: 1.16 or newer is needed`,
      {
        hint: 'Install a newer release of firecracker and jailer.',
      },
    );
  }
  const format = /^v(\d+)\.\d+\.\d+$/m.exec(await ask('--snapshot-version'))?.[1] ?? '?';
  return {
    kind: 'firecracker',
    version,
    accelerator: 'kvm',
    machine: `snapshot format ${format}`,
    cpuModel: await hostCpu(),
    hostKernel: hostKernel(),
  };
}
