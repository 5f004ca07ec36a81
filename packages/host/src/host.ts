import type { Operation } from '@sandbox-backend/kit';
import type { HostRoom } from './jail/room.ts';

/**
 * A leased network identity: a namespace of its own in which every guest has the same address
 * (169.254.0.21/30, gateway 169.254.0.22), and one address by which this host reaches the guest.
 */
export interface Slot extends AsyncDisposable {
  readonly ref: SlotRef;
  /** Replaces the egress rule; `true` is the default: the internet, never private ranges, the host or other guests. */
  allowInternet(op: Operation, allowed: boolean): Promise<void>;
}

/** JSON; enough to adopt the slot again after a restart of the server. */
export type SlotRef = {
  index: number;
  /** Name under /run/netns. */
  namespace: string;
  tap: string;
  mac: string;
  /** The guest as seen from the host, for example `10.168.0.6`. */
  address: string;
  /** The unprivileged user and group that own the tap and run the VMM: one per slot. */
  uid: number;
};

export interface SlotPool extends AsyncDisposable {
  /** Takes a pre-made slot, or makes one. `resource_exhausted` when the subnet has none left. */
  lease(op: Operation): Promise<Slot>;
  /** Takes over the slot of a machine that survived a restart of the server. */
  adopt(ref: SlotRef): Promise<Slot>;
  readonly free: number;
  /**
   * Removes what is left of a slot that nobody holds: claim, namespace, links, rules. False when there was nothing.
   * Errors: `invalid_argument` for an index that no slot has, `failed_precondition` while it is held or something runs in it.
   */
  clean(op: Operation, index: number): Promise<boolean>;
}

export type RoomSpec = {
  id: string;
  /**
   * Host folder for this machine, made by the caller; seen as `/machine`. What is in it is written by
   * the VMM and as hostile as its guest: do not follow links in it.
   */
  directory: string;
  /** Host folders that the VMM may read, by the path at which it sees them, for example `/build`. */
  readOnly: Record<string, string>;
  slot: SlotRef;
  /** `memoryMib` is for all of the VMM: the guest's memory and what the program itself needs. */
  limits: { memoryMib: number; vcpus: number; pids: number };
  /** Gives the VMM /dev/kvm; it has none when left out. */
  kvm?: boolean;
};

/** Opening the room of a machine that outlived its server takes it over; disposing of a room ends what runs in it. */
export type OpenRoom = (op: Operation, spec: RoomSpec) => Promise<HostRoom>;
