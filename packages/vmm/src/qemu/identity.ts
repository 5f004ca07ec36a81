import { run } from '@sandbox-backend/kit';
import { SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import { hostCpu, hostKernel } from '../host-cpu.ts';

/** Has the features that Bun and current distributions ask for (SSE4.2), and every instruction is cheap to emulate. */
const EMULATED_CPU = 'Nehalem';

/**
 * Asks the QEMU binary what it is. QEMU before 8.2 is refused: it opens a template's memory for
 * writing in every sandbox, and knows no `file:` migration.
 */
export async function qemuIdentity(
  binary: string,
  accelerator: VmmIdentity['accelerator'],
  signal?: AbortSignal,
): Promise<VmmIdentity> {
  const { stdout } = await run(binary, ['--version'], signal ? { signal } : {});
  const [, version, major, minor] = /version ((\d+)\.(\d+)[\d.]*)/.exec(stdout) ?? [];
  if (!version) {
    throw new SandboxError('failed_precondition', `${binary} does not say which QEMU it is`, {
      log: stdout.slice(0, 500),
    });
  }
  if (Number(major) < 8 || (Number(major) === 8 && Number(minor) < 2)) {
    throw new SandboxError('failed_precondition', `QEMU ${version} is too old: 8.2 or newer is needed`, {
      hint: 'Install it from Debian backports: apt-get install -t bookworm-backports qemu-system-x86.',
    });
  }
  return accelerator === 'kvm'
    ? {
        kind: 'qemu',
        version,
        accelerator,
        machine: `microvm@${major}.${minor}`,
        cpuModel: await hostCpu(),
        hostKernel: hostKernel(),
      }
    : {
        kind: 'qemu',
        version,
        accelerator,
        // Pinned version: a snapshot survives an update within it. A guest that has an HPET leaves it ticking, which wakes
        // an idle VMM 250 times a second; without it the kernel calibrates by the PIT.
        machine: `pc-q35-${major}.${minor},hpet=off`,
        cpuModel: EMULATED_CPU,
      };
}
