import { vmmConformance } from '../conformance.ts';
import { makeHarness } from './harness.ts';

vmmConformance('firecracker', makeHarness);
