import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { log, Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Slot, SlotPool, SlotRef } from '../host.ts';
import { slotCount } from './addresses.ts';
import { claimSlot, isHeld, readClaim, readClaims, releaseClaim, takeOverSlot } from './claim.ts';
import { defaultInterface } from './default-interface.ts';
import { enableForwarding } from './forwarding.ts';
import { holdLock } from './lock.ts';
import { findNameserver } from './nameserver.ts';
import { occupants } from './occupants.ts';
import { isPoolOpen, registerPool } from './openers.ts';
import { reapSlots } from './reap.ts';
import { hostRules } from './rules.ts';
import {
  destroySlot,
  makeSlot,
  namespaceExists,
  type SlotSettings,
  setEgress,
  slotRef,
  tapLink,
} from './slot.ts';

export type SlotPoolOptions = {
  /** Folder for the claims; processes that share it share the slots. */
  stateDir: string;
  /** Four addresses a slot. */
  subnet?: string;
  /** How many slots are kept ready. */
  spare?: number;
  /** The slot of index i belongs to the user and group `uidBase + i`; the whole range must be free on this host. */
  uidBase?: number;
  /** Namespaces and interfaces are `<prefix>-<index>`; at most 8 lower-case letters and digits. */
  namePrefix?: string;
  /**
   * Slots of machines that outlived their server; every other slot of a dead process is freed, and
   * processes in it are ended. Leave it out in a process that does not know the machines.
   */
  keep?: readonly SlotRef[];
  /** How fast a guest may send, and be sent; undefined: as fast as it can. */
  bytesPerSecond?: number | undefined;
  /** Where the internet is; the interface of the default route when left out. */
  egressInterface?: string;
  /** Answers guests' DNS queries; this host's own name server when left out. */
  nameserver?: string;
  /** How long after a lease the pool is refilled: not while the sandbox that took it starts. */
  refillDelayMs?: number;
  /** For tests: makes the guest's interface; a tap when left out. */
  guestLink?: SlotSettings['guestLink'];
};

/**
 * Opens the network slots of this host and makes the spare ones. Needs root.
 *
 * Several processes may do so at once with the same options. Disposing of the pool removes the spare
 * slots; leased ones live until their {@link Slot} is disposed of, so that machines outlive a server.
 *
 * Errors: `failed_precondition` when a tool or a right is missing, `invalid_argument` for a bad subnet or prefix.
 */
export async function openSlotPool(op: Operation, options: SlotPoolOptions): Promise<SlotPool> {
  const { stateDir, spare = 2, refillDelayMs = 300 } = options;
  const settings: SlotSettings = {
    subnet: options.subnet ?? '10.168.0.0/16',
    uidBase: options.uidBase ?? 300_000,
    namePrefix: checkPrefix(options.namePrefix ?? 'sbx'),
    nameserver: checkNameserver(options.nameserver ?? (await findNameserver())),
    guestLink: options.guestLink ?? tapLink,
    bytesPerSecond: options.bytesPerSecond,
  };
  const count = slotCount(settings.subnet);
  const table = settings.namePrefix === 'sbx' ? 'sandbox_backend' : `sandbox_backend_${settings.namePrefix}`;

  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await enableForwarding();
  const egressInterface = options.egressInterface ?? (await defaultInterface(op.signal));
  if (!egressInterface) {
    log('warn', 'slots.open', { message: 'this host has no default route: sandboxes have no internet' });
  }
  const rules = hostRules({ ...settings, table, egressInterface: checkInterface(egressInterface) });
  const applyRules = (op: Operation) => run('nft', ['-f', '-'], { signal: op.signal, input: rules });
  let unregister: () => Promise<void>;
  {
    await using _lock = await holdLock(op, stateDir);
    await reapSlots(stateDir, settings.namePrefix, options.keep);
    await applyRules(op);
    unregister = await registerPool(stateDir);
  }

  const ready: SlotRef[] = [];
  /** Indexes of the slots that this pool has made, until they are gone. */
  const made = new Set<number>();
  const closing = new AbortController();
  let refilling: Promise<void> | undefined;

  /** The next free index after the last one used: an address comes back as late as possible. */
  async function make(op: Operation): Promise<SlotRef> {
    const start = await readCursor(stateDir);
    for (let step = 0; step < count; step++) {
      op.signal.throwIfAborted();
      const ref = slotRef(settings, (start + step) % count);
      if (!(await claimSlot(stateDir, ref))) continue;
      made.add(ref.index);
      await writeCursor(stateDir, ref.index + 1);
      if (await isForeign(ref)) {
        made.delete(ref.index);
        await releaseClaim(stateDir, ref.index);
        continue;
      }
      try {
        await makeSlot(op, settings, ref);
        return ref;
      } catch (caught) {
        await destroy(ref);
        throw caught;
      }
    }
    throw new SandboxError(
      'resource_exhausted',
      `all ${count} network slots of ${settings.subnet} are taken`,
      {
        hint: 'Stop sandboxes, or configure a larger subnet.',
      },
    );
  }

  async function destroy(ref: SlotRef): Promise<void> {
    await destroySlot(ref.namespace);
    made.delete(ref.index);
    await releaseClaim(stateDir, ref.index);
  }

  /** One slot after the other, so that a refill never takes more than a part of one core. */
  async function fill(op: Operation): Promise<void> {
    while (ready.length < spare && !closing.signal.aborted) ready.push(await make(op));
  }

  function refill(): void {
    if (refilling || closing.signal.aborted) return;
    refilling = (async () => {
      await sleep(refillDelayMs, undefined, { signal: closing.signal, ref: false });
      const op = new Operation('slots.refill', { timeoutMs: 60_000, signal: closing.signal });
      await applyRules(op); // a firewall that starts again may flush the rules of all others
      await fill(op);
    })()
      .catch((caught) => {
        if (!closing.signal.aborted)
          log('warn', 'slots.refill', { error: SandboxError.from(caught).describe() });
      })
      .finally(() => {
        refilling = undefined;
      });
  }

  function hold(ref: SlotRef): Slot {
    let released: Promise<void> | undefined;
    return {
      ref,
      allowInternet: (op, allowed) => setEgress(op, ref, { allowed, nameserver: settings.nameserver }),
      [Symbol.asyncDispose]: () => {
        released ??= destroy(ref);
        return released;
      },
    };
  }

  async function close(): Promise<void> {
    closing.abort();
    await refilling;
    const op = new Operation('slots.close', { timeoutMs: 60_000 });
    await Promise.all(ready.splice(0).map(destroy));
    await using _lock = await holdLock(op, stateDir);
    await unregister();
    // The rules stay as long as any slot does: a machine that outlives its server is still fenced in.
    if ((await readClaims(stateDir)).size === 0 && !(await isPoolOpen(stateDir))) {
      await run('nft', ['-f', '-'], { input: `table inet ${table} {}\ndelete table inet ${table}\n` });
    }
  }

  try {
    await fill(op);
  } catch (caught) {
    await close();
    throw caught;
  }
  let closed: Promise<void> | undefined;
  return {
    get free() {
      return ready.length;
    },
    async lease(op) {
      if (closing.signal.aborted) throw new SandboxError('unavailable', 'the network slots are closed');
      const ref = ready.shift() ?? (await make(op));
      refill();
      return hold(ref);
    },
    async adopt(ref) {
      const expected = slotRef(settings, ref.index);
      if (
        ref.namespace !== expected.namespace ||
        ref.address !== expected.address ||
        ref.uid !== expected.uid
      ) {
        throw new SandboxError('failed_precondition', `slot ${ref.namespace} was made with other settings`, {
          hint: 'Keep subnet, uid base and name prefix as they are while sandboxes run.',
        });
      }
      if (made.has(ref.index)) {
        throw new SandboxError('failed_precondition', `slot ${ref.namespace} belongs to another machine now`);
      }
      const claim = await readClaim(stateDir, ref.index);
      if (claim && claim.pid !== process.pid && (await isHeld(claim))) {
        throw new SandboxError(
          'failed_precondition',
          `slot ${ref.namespace} belongs to process ${claim.pid}`,
        );
      }
      await takeOverSlot(stateDir, expected);
      return hold(expected);
    },
    async clean(op, index) {
      if (!Number.isSafeInteger(index) || index < 0 || index >= count) {
        throw new SandboxError('invalid_argument', `${index} is not the index of a network slot`, {
          hint: `They are 0 to ${count - 1}.`,
        });
      }
      const ref = slotRef(settings, index);
      await using _lock = await holdLock(op, stateDir);
      const claim = await readClaim(stateDir, index);
      if (await isHeld(claim)) {
        throw new SandboxError('failed_precondition', `slot ${ref.namespace} is in use`, {
          hint: 'Kill its sandbox, which frees the slot.',
        });
      }
      const inside = await occupants(ref.namespace);
      if (inside.length > 0) {
        throw new SandboxError(
          'failed_precondition',
          `${inside.length} processes run in slot ${ref.namespace}, ${inside[0]?.pid} among them`,
          { hint: 'Purge the orphan that they belong to.' },
        );
      }
      if (!claim && !(await isForeign(ref))) return false;
      await destroy(ref);
      return true;
    },
    [Symbol.asyncDispose]: () => {
      closed ??= close();
      return closed;
    },
  };
}

/** Something of this name that no claim of ours knows, for example of another installation: never touched. */
const isForeign = async (ref: SlotRef) =>
  (await namespaceExists(ref.namespace)) ||
  (await stat(`/sys/class/net/${ref.namespace}`).then(
    () => true,
    () => false,
  ));

const cursorFile = (stateDir: string) => join(stateDir, 'next-slot');
const readCursor = async (stateDir: string) =>
  Number.parseInt(await readFile(cursorFile(stateDir), 'utf8').catch(() => '0'), 10) || 0;
/** Only a hint: two processes may write it at once. */
const writeCursor = (stateDir: string, index: number) => writeFile(cursorFile(stateDir), `${index}\n`);

function checkPrefix(prefix: string): string {
  if (/^[a-z][a-z0-9]{0,7}$/.test(prefix)) return prefix;
  throw new SandboxError('invalid_argument', `${JSON.stringify(prefix)} is not a prefix for slots`, {
    hint: 'Use 1 to 8 lower-case letters and digits, beginning with a letter.',
  });
}

function checkNameserver(address: string): string {
  if (isIPv4(address)) return address;
  throw new SandboxError(
    'invalid_argument',
    `${JSON.stringify(address)} is not the IPv4 address of a name server`,
  );
}

/** It becomes part of the rules' text. */
function checkInterface(name: string | undefined): string | undefined {
  if (name === undefined || /^[A-Za-z0-9_.@:-]{1,15}$/.test(name)) return name;
  throw new SandboxError('invalid_argument', `${JSON.stringify(name)} is not the name of an interface`);
}
