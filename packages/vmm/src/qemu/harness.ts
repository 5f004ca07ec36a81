import { TEST_COMMAND_LINE } from '../testing/guest.ts';
import type { MakeHarness, OpenVmm } from '../testing/harness.ts';
import { realHarness, whyNoGuest } from '../testing/real-harness.ts';
import { qemuIdentity } from './identity.ts';
import { qemuVmm } from './vmm.ts';

export const BINARY = process.env.SANDBOX_QEMU || 'qemu-system-x86_64';

export const openVmm: OpenVmm = async (binary = BINARY) => qemuVmm(binary, await qemuIdentity(BINARY, 'tcg'));

/** The test guest under emulation: it runs everywhere. */
export const makeHarness: MakeHarness = async () =>
  (await whyNoGuest(BINARY)) ??
  realHarness({ open: openVmm, module: import.meta.url, commandLine: TEST_COMMAND_LINE });
