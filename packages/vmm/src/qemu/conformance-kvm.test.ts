import { vmmConformance } from '../conformance.ts';
import { makeHarness } from './harness-kvm.ts';

vmmConformance('qemu with kvm', makeHarness);
