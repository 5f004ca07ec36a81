/**
 * What a user asks of a template, in our words; the dialects (`json.ts`, `toml.ts`) translate into it.
 * Paths of the host are absolute when the specification was loaded from a file.
 */
export type TemplateSpec = {
  template: string;
  /** Where the root file system comes from; see `parseReference`. */
  image: string;
  /** Leave the network alone: only an image that this host has. */
  noPull: boolean;
  /** Credentials for registries, in the format of `docker login`. */
  authFile?: string;
  /** A folder on the host whose files are laid over the image; see `readAddedFiles`. */
  files?: string;
  vcpus: number;
  memoryMib: number;
  /** Free space beside the image's content; with `overlay`, the size of the upper layer. */
  diskMib: number;
  /** Sandboxes share one read-only root file system, each with a private upper layer. */
  overlay: boolean;
  hugePages: boolean;
  /** Names a folder under `kernels/`. */
  kernelVersion: string;
  vmmType: VmmType;
  /** The VMM's program, a path or a name in `PATH`; otherwise the one of the configuration. */
  hypervisorPath?: string;
  rootfsBuildMode: RootfsBuildMode;
  /** The guest's console, in full, while the template is built. */
  kernelDebugOutput: boolean;
  /** Environment of every process, above what the image says. */
  env: Record<string, string>;
  /** Who programs run as when a request names nobody; otherwise `user`. */
  defaultUser?: string;
  /** Started while the template is built: its running state is in the snapshot. */
  startCommand?: StartCommand;
  /** A shell command; the snapshot is taken when it exits with 0. */
  readyCommand?: string;
};

export type StartCommand = {
  cmd: string;
  /** A file on the host, in systemd's format; see `readEnvironmentFile`. */
  envFile?: string;
  /** A folder in the guest. */
  workdir?: string;
};

/** `auto`: the best that this host can run. */
export type VmmType = (typeof VMM_TYPES)[number];

export const VMM_TYPES = ['auto', 'firecracker', 'cloud-hypervisor', 'qemu'] as const;

/** `build-rootfs-only` stops before a machine boots; `skip-build-rootfs` takes the root file system of an earlier build. */
export type RootfsBuildMode = (typeof ROOTFS_BUILD_MODES)[number];

/** In the order of the seed's numbers: 0, 1, 2. */
export const ROOTFS_BUILD_MODES = ['normal', 'build-rootfs-only', 'skip-build-rootfs'] as const;
