import { access, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findProgram } from '@sandbox-backend/kit';
import { TEST_COMMAND_LINE, testInitrd } from '../testing/guest.ts';
import type { Fault, MakeHarness, OpenVmm } from '../testing/harness.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { qemuIdentity } from './identity.ts';
import { qemuVmm } from './vmm.ts';

const BINARY = process.env.SANDBOX_QEMU || 'qemu-system-x86_64';

/** `KERNEL` names an ELF vmlinux with an `initrd` of its modules beside it; else the default kernel is taken. */
export const testKernel = () => process.env.KERNEL || '/var/lib/sandbox-backend/kernels/default/vmlinux';

/** Why no guest can be booted here; undefined when one can. */
export async function whyNoGuest(): Promise<string | undefined> {
  const found = (path: string) =>
    access(path).then(
      () => true,
      () => false,
    );
  if (process.getuid?.() !== 0) return 'a network namespace needs root';
  if (!(await findProgram(BINARY).catch(() => undefined))) return `${BINARY} is not installed`;
  if (!(await found(testKernel()))) {
    return `no kernel ${testKernel()}; set KERNEL, or prepare the default one with bin/template-manager`;
  }
  return (await found('/dev/net/tun')) ? undefined : 'no /dev/net/tun';
}

export const openVmm: OpenVmm = async () => qemuVmm(BINARY, await qemuIdentity(BINARY, 'tcg'));

/** The test guest under emulation: it runs everywhere. */
export const makeHarness: MakeHarness = async () => {
  const reason = await whyNoGuest();
  if (reason) return reason;
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
  const vmm = await openVmm();
  const owned = held.move();
  return {
    vmm,
    faulty: (fault) => qemuVmm(faults[fault], vmm.identity),
    module: import.meta.url,
    guest: { kernel: testKernel(), initrd, commandLine: TEST_COMMAND_LINE },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
};

export async function writeTestInitrd(path: string): Promise<void> {
  const modules = join(dirname(testKernel()), 'initrd');
  const base = await access(modules).then(
    () => modules,
    () => undefined,
  );
  await writeFile(path, await testInitrd(base));
}
