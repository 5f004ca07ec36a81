import { access, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findProgram } from '@sandbox-backend/kit';
import { decideAccelerator } from '../qemu/decide-accelerator.ts';
import { inspectKvm } from '../qemu/inspect-kvm.ts';
import type { Vmm } from '../vmm.ts';
import { testInitrd } from './guest.ts';
import type { Fault, VmmHarness } from './harness.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** `KERNEL` names an ELF vmlinux with an `initrd` of its modules beside it; else the default kernel is taken. */
export const testKernel = () => process.env.KERNEL || '/var/lib/sandbox-backend/kernels/default/vmlinux';

/** Why no guest can be booted here; undefined when one can. */
export async function whyNoGuest(binary: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'a network namespace needs root';
  if (!(await findProgram(binary).catch(() => undefined))) return `${binary} is not installed`;
  if (!(await exists(testKernel()))) {
    return `no kernel ${testKernel()}; set KERNEL, or prepare the default one with bin/template-manager`;
  }
  return (await exists('/dev/net/tun')) ? undefined : 'no /dev/net/tun';
}

/** Why no guest can run under KVM here; undefined when nothing speaks against it. */
export async function whyNoKvm(): Promise<string | undefined> {
  const decided = decideAccelerator(await inspectKvm());
  return decided === 'probe'
    ? undefined
    : `${decided.reason}; scripts/test-kvm.sh brings a machine that has one`;
}

/** A driver on the real program, with the test guest to run in it. */
export async function realHarness(options: {
  open: (binary?: string) => Promise<Vmm>;
  module: string;
  commandLine: string;
}): Promise<VmmHarness> {
  await using held = new AsyncDisposableStack();
  const folder = held.use(await temporaryFolder());
  const initrd = join(folder.path, 'initrd');
  await writeTestInitrd(initrd);
  const faults: Record<Fault, string> = {
    missing: join(folder.path, 'missing'),
    garbled: join(folder.path, 'garbled'),
    dies: join(folder.path, 'dies'),
    hangs: join(folder.path, 'hangs'),
  };
  await writeFile(faults.garbled, '\x7fELF garbled', { mode: 0o755 });
  await writeFile(faults.dies, '#!/bin/sh\necho "cannot open the moon" >&2\nexit 1\n', { mode: 0o755 });
  await writeFile(faults.hangs, '#!/bin/sh\nexec sleep infinity\n', { mode: 0o755 });
  const vmm = await options.open();
  const broken = Object.fromEntries(
    await Promise.all(
      Object.entries(faults).map(async ([fault, path]) => [fault, await options.open(path)] as const),
    ),
  );
  const owned = held.move();
  return {
    vmm,
    faulty: (fault) => broken[fault],
    module: options.module,
    guest: { kernel: testKernel(), initrd, commandLine: options.commandLine },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export async function writeTestInitrd(path: string): Promise<void> {
  const modules = join(dirname(testKernel()), 'initrd');
  await writeFile(path, await testInitrd((await exists(modules)) ? modules : undefined));
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
