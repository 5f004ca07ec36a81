import { run } from '@sandbox-backend/kit';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import { hostCpu, hostKernel } from '../host-cpu.ts';

/** 52 mends CVE-2026-45782, by which a guest could write freed memory of the VMM. */
const OLDEST = 52;

/** Asks the Cloud Hypervisor binary what it is. Its snapshots are for its own major version. */
export async function cloudHypervisorIdentity(binary: string, signal?: AbortSignal): Promise<VmmIdentity> {
  const { stdout } = await run(binary, ['--version'], signal ? { signal } : {});
  const [, version, major] = /^cloud-hypervisor v((\d+)\.[0-9A-Za-z.-]+)/m.exec(stdout) ?? [];
  if (!version) {
    throw new SandboxError('failed_precondition', `${binary} does not say which Cloud Hypervisor it is`, {
      log: stdout.slice(0, 500),
    });
  }
  if (Number(major) < OLDEST) {
    throw new SandboxError(
      'failed_precondition',
      `Cloud Hypervisor ${version} is too old: ${OLDEST} or newer is needed`,
      { hint: 'Install a newer release of cloud-hypervisor.' },
    );
  }
  return {
    kind: 'cloud-hypervisor',
    version,
    accelerator: 'kvm',
    machine: `snapshot of v${major}`,
    cpuModel: await hostCpu(),
    hostKernel: hostKernel(),
  };
}
