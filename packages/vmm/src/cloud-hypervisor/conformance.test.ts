import { vmmConformance } from '../conformance.ts';
import { makeHarness } from './harness.ts';

vmmConformance('cloud-hypervisor', makeHarness);
