import { stat } from 'node:fs/promises';
import { type Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { SlotRef } from '../host.ts';
import { GUEST, slotAddresses } from './addresses.ts';
import { egressRules, slotRules, UPLINK } from './rules.ts';

export type SlotSettings = {
  subnet: string;
  uidBase: number;
  namePrefix: string;
  nameserver: string;
  /** The `ip link` line that makes the guest's interface inside the namespace; a tap unless a test says otherwise. */
  guestLink: (ref: SlotRef) => string;
  /** In each direction. */
  bytesPerSecond?: number | undefined;
};

export const tapLink = (ref: SlotRef) =>
  `tuntap add dev ${ref.tap} mode tap user ${ref.uid} group ${ref.uid}`;

/** All there is to know of a slot follows from its index and the settings. */
export function slotRef(settings: SlotSettings, index: number): SlotRef {
  return {
    index,
    namespace: `${settings.namePrefix}-${index}`,
    tap: GUEST.tap,
    mac: GUEST.mac,
    address: slotAddresses(settings.subnet, index).slot,
    uid: settings.uidBase + index,
  };
}

/** Makes the namespace, its links and its rules: three short commands. The caller destroys what is left when it fails. */
export async function makeSlot(op: Operation, settings: SlotSettings, ref: SlotRef): Promise<void> {
  const { signal } = op;
  const { subnet, nameserver } = settings;
  const addresses = slotAddresses(subnet, ref.index);
  const name = ref.namespace; // the host's end of the pair is named like the namespace
  await run('ip', ['-batch', '-'], {
    signal,
    input: `netns add ${name}
link add ${name} type veth peer name ${UPLINK} netns ${name}
addr add ${addresses.host}/${addresses.prefixLength} dev ${name}
link set ${name} up
`,
  });
  // The neighbour entry spares a restored guest the ARP exchange, so that it is reached at once.
  await run('ip', ['-n', name, '-batch', '-'], {
    signal,
    input: `addr add ${addresses.slot}/${addresses.prefixLength} dev ${UPLINK}
link set ${UPLINK} up
route add default via ${addresses.host}
${settings.guestLink(ref)}
link set ${ref.tap} address ${GUEST.gatewayMac}
addr add ${GUEST.gateway}/${GUEST.prefixLength} dev ${ref.tap}
link set ${ref.tap} up
neigh add ${GUEST.address} lladdr ${GUEST.mac} dev ${ref.tap} nud permanent
`,
  });
  if (settings.bytesPerSecond !== undefined) await limitRate(op, ref, settings.bytesPerSecond);
  await inNamespace(name, ['sh', '-c', SETTINGS_AND_RULES], signal, slotRules({ addresses, nameserver }));
}

/** On the way out of the tap to the guest, and of the pair to the host: each end sends no faster. */
async function limitRate(op: Operation, ref: SlotRef, bytesPerSecond: number): Promise<void> {
  const rate = Math.max(1, Math.round(bytesPerSecond));
  const burst = Math.max(64 * 1024, Math.round(rate / 50)); // what passes between two ticks of the timer, and one large packet
  const qdisc = (device: string) =>
    `qdisc add dev ${device} root tbf rate ${rate}bps burst ${burst}b latency 100ms\n`;
  await run('tc', ['-n', ref.namespace, '-batch', '-'], {
    signal: op.signal,
    input: qdisc(ref.tap) + qdisc(UPLINK),
  });
}

/** A constant: nothing is ever put into it. */
const SETTINGS_AND_RULES = `set -e
cd /proc/sys/net
echo 1 > ipv4/ip_forward
if [ -d ipv6 ]; then echo 1 > ipv6/conf/all/disable_ipv6; fi
exec nft -f -`;

export async function setEgress(
  op: Operation,
  ref: SlotRef,
  rule: { allowed: boolean; nameserver: string },
): Promise<void> {
  await inNamespace(ref.namespace, ['nft', '-f', '-'], op.signal, egressRules(rule));
}

const inNamespace = (name: string, command: string[], signal: AbortSignal, input: string) =>
  run('nsenter', [`--net=/run/netns/${name}`, '--', ...command], { signal, input });

/**
 * Removes the pair and the namespace with all in it; nothing happens when they are gone already.
 * The pair goes first: the guest is cut off even while a process keeps the namespace alive.
 */
export async function destroySlot(name: string): Promise<void> {
  await run('ip', ['-force', '-batch', '-'], {
    input: `link del ${name}\nnetns del ${name}\n`,
  }).catch(() => {}); // it complains of what is gone already; what matters is checked
  if ((await namespaceExists(name)) || (await exists(`/sys/class/net/${name}`))) {
    throw new SandboxError('internal', `network slot ${name} could not be removed`, {
      hint: `Look at: ip netns del ${name}; ip link del ${name}`,
    });
  }
}

export const namespaceExists = (name: string) => exists(`/run/netns/${name}`);

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
