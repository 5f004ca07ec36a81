/**
 * What a finished build says of itself: `manifest.json` in its folder, written last.
 * A snapshot restores only where `vmm` matches what the host offers.
 */
export type BuildManifest = {
  schema: 1;
  template: string;
  buildId: string;
  /** RFC 3339. */
  createdAt: string;
  vcpus: number;
  memoryMib: number;
  diskMib: number;
  overlay: boolean;
  kernelVersion: string;
  vmm: VmmIdentity;
  envdVersion: string;
  /** Who programs run as when a request names nobody, and where. */
  defaultUser: string;
  defaultWorkdir?: string;
  /** Runs since the build: its state is in the snapshot. */
  startCommand?: string;
  /** Made from a sandbox, and not by building a template. */
  snapshotOf?: { sandboxId: string };
  /** Environment of the image (`ENV`), below what a sandbox and a request set. */
  env: Record<string, string>;
  /** File name inside the build folder → bytes and SHA-256. */
  files: Record<string, { bytes: number; sha256?: string }>;
  /** What the trial restore measured before publication. */
  trial: { at: string; restoreMs: number };
};

/** All that must be equal between the host that made a snapshot and the one that restores it. */
export type VmmIdentity = {
  kind: 'qemu' | 'firecracker' | 'cloud-hypervisor' | 'fake';
  version: string;
  accelerator: 'kvm' | 'tcg';
  /** QEMU machine type with its version and what was chosen of it, for example `pc-q35-10.0,hpet=off`. */
  machine: string;
  /** The model that is emulated, or under KVM the host's own processor. */
  cpuModel: string;
  /** Under KVM: the series of the host's kernel, for example `6.12`. */
  hostKernel?: string;
};

/** The differences between two identities, in words; empty when a snapshot of one restores on the other. */
export function vmmDifferences(made: VmmIdentity, here: VmmIdentity): string[] {
  return (['kind', 'accelerator', 'machine', 'cpuModel', 'hostKernel'] as const)
    .filter((key) => made[key] !== here[key])
    .map((key) => `${key}: built with ${made[key] ?? 'none'}, this host has ${here[key] ?? 'none'}`);
}
