import type { Operation } from '@sandbox-backend/kit';
import type { VmmIdentity } from '@sandbox-backend/protocol';

/**
 * Runs virtual machines with one VMM program on this host.
 *
 * Vocabulary: a *machine* is one VMM process and its VM; a *snapshot* is a folder from which any
 * number of machines are restored at once, none of which can write it; a *room* is where and as
 * whom the VMM process runs. A driver starts machines and finds them again. It does not choose
 * kernels, lease networks or talk to the guest: it is given paths and device names.
 *
 * Every driver passes the suite in `conformance.ts`.
 */
export interface Vmm {
  readonly identity: VmmIdentity;
  readonly traits: VmmTraits;

  /**
   * Starts a machine from a kernel; it is running when this returns, the guest has not booted yet.
   * Errors of `boot` and `restore`: `failed_precondition` when the VMM is not installed, else one with the end
   * of the VMM's own log. After any error, and after the operation's end, no process is left.
   */
  boot(op: Operation, spec: BootSpec, room: Room): Promise<Machine>;

  /** Starts a machine from a snapshot; it is paused when this returns, so that nothing of it has run. */
  restore(op: Operation, spec: RestoreSpec, room: Room): Promise<Machine>;

  /**
   * Finds a machine that an earlier run of the server started; undefined when it is gone. One that lives and
   * does not answer until the operation ends is an error, and is left as it is.
   */
  recover(
    op: Operation,
    ref: MachineRef,
    room: Pick<Room, 'inside' | 'directory' | 'give'>,
  ): Promise<Machine | undefined>;
}

/** What a caller must know of a VMM beforehand, because no driver can make up for it. */
export type VmmTraits = {
  diskFormats: readonly DiskSpec['format'][];
  /** A restored guest is told so by its hardware (VMGENID), and its kernel reseeds its random numbers by itself. */
  generationId: boolean;
  /** Brings a read-only disk to the guest as memory (virtio-pmem), so that all guests share its pages with the host. */
  mapsDisks: boolean;
  /** Memory that the guest has freed goes back to the host by itself (virtio-balloon with free page reporting). */
  reportsFreePages: boolean;
  /**
   * A snapshot of a restored machine has memory in its state file, which each machine from it reads into memory of
   * its own; restored with `ownMemory` and saved again it is like that of a booted one.
   */
  memoryInState: boolean;
};

export type Hardware = {
  vcpus: number;
  memoryMib: number;
  /** In device order: the first is `vda` in the guest. Paths are host paths inside the room's view. */
  disks: DiskSpec[];
  network: { tap: string; mac: string };
  /** For each disk, or for all of them together, as the VMM can; reads and writes. Of a restored machine only. */
  diskBytesPerSecond?: number | undefined;
};

export type DiskSpec = {
  id: string;
  path: string;
  format: 'raw' | 'qcow2';
  readOnly: boolean;
  /** The same in all machines: a VMM that can (see {@link VmmTraits}) maps it into the guest, which sees `pmem0` and no disk. */
  mapped?: boolean;
};

export type BootSpec = {
  hardware: Hardware;
  kernel: string;
  initrd: string;
  commandLine: string;
  /** Where guest memory is, or comes to be when the machine is saved; made by the driver. */
  memoryFile: string;
};

export type RestoreSpec = {
  hardware: Hardware;
  /** Memory of the snapshot: mapped privately and opened read-only. */
  memoryFile: string;
  /** Device state of the snapshot. */
  stateFile: string;
  /**
   * The memory file is in the room's folder and the machine's own: it is changed. Only for a VMM with
   * {@link VmmTraits.memoryInState}; a machine that is saved to the same file has no memory in its state.
   */
  ownMemory?: boolean;
};

/** The two files that restore together. Both in the room's folder, or where the VMM may write. */
export type SnapshotFiles = {
  /** Device state. */
  stateFile: string;
  /** For a booted machine that of its {@link BootSpec}, in which its memory may be already. */
  memoryFile: string;
};

/** Enough, as JSON, for a later run of the server to find the machine again. */
export type MachineRef = {
  vmm: VmmIdentity['kind'];
  pid: number;
  /** Field 22 of /proc/PID/stat: tells a reused pid from the machine's own. */
  pidStartTime: string;
  controlSocket: string;
  /** What the VMM program itself printed. */
  vmmLog: string;
  /** The file that its memory is, or was made from. */
  memoryFile: string;
};

export type MachineState = 'running' | 'paused' | 'exited';

export type MachineExit = {
  reason: 'stopped' | 'powered_off' | 'crashed';
  /** For people: exit status or signal, and the end of the VMM's own log. */
  detail: string;
};

/**
 * Every method that takes an operation fails with `deadline_exceeded` or `canceled` when that ends before the
 * VMM has answered (the VMM may still do what it was told), and with `unavailable` when the machine is gone.
 */
export interface Machine extends AsyncDisposable {
  readonly ref: MachineRef;
  /** Settles exactly once, whoever ended the machine, when its process is gone; never rejects. */
  readonly exited: Promise<MachineExit>;
  state(op: Operation): Promise<MachineState>;
  /** Safe to call again. */
  pause(op: Operation): Promise<void>;
  resume(op: Operation): Promise<void>;
  /**
   * Saves a paused machine to two files that restore together; on an error there is no state file. The memory of
   * a booted machine may be in a file that it shares: it stays as saved until the machine is resumed. Disks are the
   * caller's. Errors: `failed_precondition` when the machine is not paused.
   */
  snapshot(op: Operation, files: SnapshotFiles): Promise<void>;
  /** What the guest printed on its console since the last call, any bytes; the oldest beyond 64 KiB is lost. */
  readConsole(op: Operation): Promise<string>;
  /** Ends the VMM process now, also one that hangs; resolves when it is gone. Safe to call again. */
  kill(): Promise<MachineExit>;
}

/** Where and as whom a VMM process runs; made by the host's isolation layer, never by a driver. */
export interface Room {
  /** Folder on the host for this machine's sockets, logs and disks; writable by the VMM. */
  readonly directory: string;
  /** The path by which the VMM process sees a host path; throws when it cannot see it. */
  inside(hostPath: string): string;
  /**
   * Starts the command in the room, detached: it outlives the server. Standard output and error are
   * appended to `logFile` on the host, which may be emptied meanwhile.
   */
  launch(op: Operation, command: readonly string[], options: LaunchOptions): Promise<LaunchedProcess>;
  /** Hands a file or folder in `directory`, made by the driver, to the user that the VMM runs as. */
  give(hostPath: string): Promise<void>;
}

export type LaunchOptions = {
  logFile: string;
  /** Firecracker's jailer: changes the root and the user, in place of what the room does itself. */
  jailer?: string;
  /** The VMM reads what sysfs says of this tap. */
  tap?: string;
};

export type LaunchedProcess = { pid: number; pidStartTime: string };
