import { TEST_COMMAND_LINE } from '../testing/guest.ts';
import type { MakeHarness, OpenVmm } from '../testing/harness.ts';
import { realHarness, whyNoGuest, whyNoKvm } from '../testing/real-harness.ts';
import { cloudHypervisorIdentity } from './identity.ts';
import { cloudHypervisorVmm } from './vmm.ts';

const BINARY = process.env.CLOUD_HYPERVISOR_BIN || 'cloud-hypervisor';

export const openVmm: OpenVmm = async (binary = BINARY) =>
  cloudHypervisorVmm(binary, await cloudHypervisorIdentity(BINARY));

export const makeHarness: MakeHarness = async () =>
  (await whyNoGuest(BINARY)) ??
  (await whyNoKvm()) ??
  realHarness({ open: openVmm, module: import.meta.url, commandLine: TEST_COMMAND_LINE });
