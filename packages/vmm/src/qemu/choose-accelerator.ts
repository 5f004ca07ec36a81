import { readFile, stat } from 'node:fs/promises';
import { type Operation, writeFileAtomic } from '@sandbox-backend/kit';
import { asFields } from '../control/fields.ts';
import { type Accelerator, type AcceleratorChoice, decideAccelerator } from './decide-accelerator.ts';
import { qemuIdentity } from './identity.ts';
import { inspectKvm } from './inspect-kvm.ts';
import { probeGuest } from './probe-guest.ts';

export type AcceleratorOptions = {
  binary: string;
  /** A guest to try KVM with; its initramfs answers `probe=1`. */
  kernel: string;
  initrd: string;
  /** Remembers what the guest showed, until the next boot of this host, another QEMU or another kernel. */
  cacheFile: string;
  /** No looking and no trying. */
  force?: Accelerator;
};

/**
 * Whether machines of this host run under KVM or are emulated, and why. A /dev/kvm that is there may
 * still be unable to run a guest: where nothing speaks against it, one is booted, at most 15 s.
 */
export async function chooseAccelerator(
  op: Operation,
  options: AcceleratorOptions,
): Promise<AcceleratorChoice> {
  const decided = decideAccelerator(await inspectKvm(), options.force);
  if (decided !== 'probe') return decided;

  const kernel = await stat(options.kernel).catch(() => undefined);
  if (!kernel) return { accelerator: 'tcg', reason: `there is no kernel to try KVM with: ${options.kernel}` };
  const identity = await qemuIdentity(options.binary, 'kvm', op.signal);
  const key = [identity.version, await bootId(), kernel.mtimeMs].join(' ');
  const remembered = await readCache(options.cacheFile, key);
  if (remembered) return remembered;

  const probe = await op.phase('kvm probe', () => probeGuest(op, { ...options, identity }));
  const choice: AcceleratorChoice = probe.ok
    ? { accelerator: 'kvm', reason: 'a guest booted under KVM' }
    : { accelerator: 'tcg', reason: `no guest boots under KVM: ${probe.detail}` };
  await writeFileAtomic(options.cacheFile, `${JSON.stringify({ key, ...choice })}\n`);
  return choice;
}

const bootId = async () => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();

/** What an earlier run found under the same key; a file that does not parse was never written. */
export async function readCache(path: string, key: string): Promise<AcceleratorChoice | undefined> {
  try {
    const cached = asFields(JSON.parse(await readFile(path, 'utf8')));
    const { accelerator, reason } = cached;
    if (cached.key !== key || typeof reason !== 'string') return undefined;
    return accelerator === 'kvm' || accelerator === 'tcg' ? { accelerator, reason } : undefined;
  } catch {
    return undefined;
  }
}
