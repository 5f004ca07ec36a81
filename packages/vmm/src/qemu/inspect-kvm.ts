import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import type { KvmFacts } from './decide-accelerator.ts';

/** Looks at what this host says of its KVM; starts nothing. */
export async function inspectKvm(): Promise<KvmFacts> {
  const can = (path: string, mode?: number) =>
    access(path, mode).then(
      () => true,
      () => false,
    );
  const usable = await can('/dev/kvm', constants.R_OK | constants.W_OK);
  const cpuinfo = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  return {
    device: usable ? 'present' : (await can('/dev/kvm')) ? 'unusable' : 'absent',
    pvm: await can('/sys/module/kvm_pvm'),
    virtualization: /^flags\s*:.*\b(vmx|svm)\b/m.test(cpuinfo),
  };
}
