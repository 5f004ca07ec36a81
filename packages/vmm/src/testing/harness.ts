import type { Vmm } from '../vmm.ts';

/** What can be wrong with a VMM program. */
export type Fault =
  /** There is no such file. */
  | 'missing'
  /** It is no program. */
  | 'garbled'
  /** It prints `cannot open the moon` and exits with 1. */
  | 'dies'
  /** It starts and never becomes ready. */
  | 'hangs';

/** A driver, made ready to be tested: the suite in `conformance.ts` asks for nothing else. */
export type VmmHarness = AsyncDisposable & {
  readonly vmm: Vmm;
  /** The driver with a broken program; undefined when it cannot be broken so. */
  faulty(fault: Fault): Vmm | undefined;
  /** A module with `openVmm`, for another process that is to start a machine and to die. */
  readonly module: string;
  /** How to boot the test guest; absent where nothing runs in a machine. */
  readonly guest?: { kernel: string; initrd: string; commandLine: string };
};

/** The driver alone, which leaves nothing behind when its process is killed. */
export type OpenVmm = (binary?: string) => Promise<Vmm>;

/** Makes a harness, or says why the suite cannot run here. */
export type MakeHarness = () => Promise<VmmHarness | string>;
