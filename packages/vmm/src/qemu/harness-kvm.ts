import { TEST_COMMAND_LINE } from '../testing/guest.ts';
import type { MakeHarness, OpenVmm } from '../testing/harness.ts';
import { realHarness, whyNoGuest, whyNoKvm } from '../testing/real-harness.ts';
import { BINARY } from './harness.ts';
import { qemuIdentity } from './identity.ts';
import { qemuVmm } from './vmm.ts';

export const openVmm: OpenVmm = async (binary = BINARY) => qemuVmm(binary, await qemuIdentity(BINARY, 'kvm'));

/** The test guest under KVM, in QEMU's microvm. */
export const makeHarness: MakeHarness = async () =>
  (await whyNoGuest(BINARY)) ??
  (await whyNoKvm()) ??
  realHarness({ open: openVmm, module: import.meta.url, commandLine: TEST_COMMAND_LINE });
