import { access, constants } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { findProgram, type Operation } from '@sandbox-backend/kit';
import { type HostCapability, SandboxError, type VmmIdentity } from '@sandbox-backend/protocol';
import {
  type AcceleratorChoice,
  chooseAccelerator,
  cloudHypervisorIdentity,
  cloudHypervisorVmm,
  firecrackerIdentity,
  firecrackerVmm,
  qemuIdentity,
  qemuVmm,
  type Vmm,
} from '@sandbox-backend/vmm';
import { paths } from './builds/paths.ts';
import type { HostConfig } from './config.ts';

export type VmmKind = VmmIdentity['kind'];
export type VmmType = 'auto' | 'firecracker' | 'cloud-hypervisor' | 'qemu';

/** The VMMs of this host. */
export type Vmms = {
  accelerator: AcceleratorChoice;
  capabilities: readonly HostCapability[];
  /** The one that `auto` stands for where a template asks for nothing special. */
  readonly preferred: Vmm;
  /** Errors: `failed_precondition` when this host cannot run it, with the reason. */
  find(kind: VmmKind): Vmm;
  /**
   * The best that has what the template needs; with `raw` false, disks of this host are overlays, which not every
   * VMM reads. Errors: as `find`.
   */
  choose(type: VmmType, needs: { cheapRawDisks: boolean }): Vmm;
};

/** Best first: what isolates a guest with the least code comes before what runs everywhere. */
const KINDS = ['firecracker', 'cloud-hypervisor', 'qemu'] as const;
type Kind = (typeof KINDS)[number];

/** Finds out which VMMs this host can run. QEMU is needed; the two others only where there is KVM. */
export async function openVmms(op: Operation, config: HostConfig): Promise<Vmms> {
  const kernel = join(paths.kernels(config.dataRoot), 'default');
  const accelerator = await op.phase('accelerator', () =>
    chooseAccelerator(op, {
      binary: config.qemuBinary,
      kernel: join(kernel, 'vmlinux'),
      initrd: join(kernel, 'initrd'),
      cacheFile: join(config.dataRoot, 'accelerator.json'),
      ...(config.accelerator === 'auto' ? {} : { force: config.accelerator }),
    }),
  );
  const opened = await op.phase('vmms', () =>
    Promise.all(KINDS.map((kind) => openOne(op, config, kind, accelerator))),
  );
  return vmmsOf(opened, accelerator, config.vmm);
}

type Opened = { kind: Kind; vmm: Vmm } | { kind: Kind; reason: string };

/** The choice alone, from what was found. */
export function vmmsOf(opened: readonly Opened[], accelerator: AcceleratorChoice, wish: VmmType): Vmms {
  const find = (kind: VmmKind): Vmm => {
    const one = opened.find((candidate) => candidate.kind === kind);
    if (one && 'vmm' in one) return one.vmm;
    throw new SandboxError(
      'failed_precondition',
      `this host cannot run ${kind}: ${one?.reason ?? 'it is no VMM'}`,
      {
        hint: 'sandbox-cli doctor shows what this host can run.',
      },
    );
  };
  const choose: Vmms['choose'] = (type, { cheapRawDisks }) => {
    const asked = type === 'auto' ? wish : type;
    if (asked !== 'auto') return find(asked);
    const able = opened.flatMap((one) => ('vmm' in one ? [one.vmm] : []));
    const best = able.find(({ traits }) => cheapRawDisks || traits.diskFormats.includes('qcow2'));
    return best ?? find('qemu');
  };
  return {
    accelerator,
    capabilities: opened.map((one) => capabilityOf(one)),
    preferred: choose('auto', { cheapRawDisks: true }),
    find,
    choose,
  };
}

function capabilityOf(one: Opened): HostCapability {
  if (!('vmm' in one)) return { vmm: one.kind, available: false, reason: one.reason };
  const { identity, traits } = one.vmm;
  return {
    vmm: one.kind,
    available: true,
    identity,
    diskFormats: [...traits.diskFormats],
    generationId: traits.generationId,
    hugePages: false,
  };
}

async function openOne(
  op: Operation,
  config: HostConfig,
  kind: Kind,
  { accelerator, reason }: AcceleratorChoice,
): Promise<Opened> {
  try {
    if (kind === 'qemu') {
      return {
        kind,
        vmm: qemuVmm(config.qemuBinary, await qemuIdentity(config.qemuBinary, accelerator, op.signal)),
      };
    }
    if (accelerator !== 'kvm') return { kind, reason: `it needs KVM, and ${reason}` };
    if (kind === 'cloud-hypervisor') {
      const binary = config.cloudHypervisorBinary;
      return { kind, vmm: cloudHypervisorVmm(binary, await cloudHypervisorIdentity(binary, op.signal)) };
    }
    await findProgram(config.jailerBinary);
    const options = { binary: config.firecrackerBinary, jailer: config.jailerBinary };
    return { kind, vmm: firecrackerVmm(options, await firecrackerIdentity(options.binary, op.signal)) };
  } catch (caught) {
    op.signal.throwIfAborted();
    const error = SandboxError.from(caught);
    if (kind === 'qemu') throw error;
    return { kind, reason: error.message };
  }
}

/**
 * A configuration in which the program of a template's specification takes the place of the server's. Only programs
 * that the host's owner has named are run: those of the configuration and of SANDBOX_HYPERVISOR_PATHS.
 * Errors: `permission_denied` for any other, `failed_precondition` when it is missing.
 */
export async function withHypervisor(config: HostConfig, path: string, type: VmmType): Promise<HostConfig> {
  const wanted = path.includes('/') ? resolve(path) : await findProgram(path);
  const configured = await Promise.all(
    [config.qemuBinary, config.firecrackerBinary, config.cloudHypervisorBinary].map((program) =>
      findProgram(program).catch(() => undefined),
    ),
  );
  if (![...configured, ...config.hypervisorPaths].includes(wanted)) {
    throw new SandboxError(
      'permission_denied',
      `hypervisorPath ${wanted} is not among the allowed programs`,
      {
        hint: `Add it to SANDBOX_HYPERVISOR_PATHS, a list with colons, or leave hypervisorPath out.`,
      },
    );
  }
  await access(wanted, constants.X_OK).catch((cause) => {
    throw new SandboxError('failed_precondition', `hypervisorPath ${wanted} is not a program`, { cause });
  });
  const kind =
    type === 'auto' ? (KINDS.find((name) => wanted.split('/').at(-1)!.includes(name)) ?? 'qemu') : type;
  if (kind === 'firecracker') return { ...config, vmm: kind, firecrackerBinary: wanted };
  if (kind === 'cloud-hypervisor') return { ...config, vmm: kind, cloudHypervisorBinary: wanted };
  return { ...config, vmm: kind, qemuBinary: wanted };
}
