import type { Fault, MakeHarness, OpenVmm } from '../testing/harness.ts';
import { type FakeOptions, fakeVmm } from './vmm.ts';

const FAULTS: Partial<Record<Fault, FakeOptions>> = {
  missing: { program: '/nonexistent/fake-vmm' },
  dies: { failBoot: 'cannot open the moon', failRestore: 'cannot open the moon' },
  hangs: { startDelayMs: 3_600_000 },
};

export const openVmm: OpenVmm = async () => fakeVmm();

export const makeHarness: MakeHarness = async () => ({
  vmm: await openVmm(),
  faulty(fault) {
    const options = FAULTS[fault];
    return options && fakeVmm(options);
  },
  module: import.meta.url,
  [Symbol.asyncDispose]: async () => {},
});
