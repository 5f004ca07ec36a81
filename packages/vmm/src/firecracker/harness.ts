import { TEST_COMMAND_LINE } from '../testing/guest.ts';
import type { MakeHarness, OpenVmm } from '../testing/harness.ts';
import { realHarness, whyNoGuest, whyNoKvm } from '../testing/real-harness.ts';
import { firecrackerIdentity } from './identity.ts';
import { firecrackerVmm } from './vmm.ts';

const BINARY = process.env.FIRECRACKER_BIN || 'firecracker';

export const openVmm: OpenVmm = async (binary = BINARY) =>
  firecrackerVmm({ binary }, await firecrackerIdentity(BINARY));

/** The test guest in Firecracker, whose guests restart by the keyboard controller. */
export const makeHarness: MakeHarness = async () =>
  (await whyNoGuest(BINARY)) ??
  (await whyNoKvm()) ??
  realHarness({
    open: openVmm,
    module: import.meta.url,
    commandLine: TEST_COMMAND_LINE.replace('reboot=t', 'reboot=k'),
  });
