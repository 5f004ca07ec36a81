import { GUEST, type SlotAddresses } from './addresses.ts';
import { NOT_INTERNET } from './ranges.ts';

/** The end of the veth pair inside a slot's namespace. */
export const UPLINK = 'uplink0';

export type HostRules = {
  /** Name of the table in the host's namespace; it is ours alone and is replaced as a whole. */
  table: string;
  /** Slots' interfaces in the host's namespace are `<prefix>-<index>`. */
  namePrefix: string;
  subnet: string;
  /** The interface of the default route; without one no guest reaches the internet. */
  egressInterface: string | undefined;
  nameserver: string;
};

/**
 * The rules in the host's namespace: the second of two layers, for the case that a slot's own rules fail.
 * They only ever match slots' interfaces, and sit before other firewalls' chains; a drop there still holds.
 */
export function hostRules(rules: HostRules): string {
  const slots = `"${rules.namePrefix}-*"`;
  const egress = rules.egressInterface;
  return `table inet ${rules.table} {}
delete table inet ${rules.table}
table inet ${rules.table} {
  ${notInternet()}
  chain input {
    type filter hook input priority -10; policy accept;
    iifname ${slots} jump guest_to_host
  }
  chain guest_to_host {
    ct direction reply ct state established,related accept
    ip saddr ${rules.subnet} ip daddr ${rules.nameserver} meta l4proto { tcp, udp } th dport 53 accept
    drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    iifname ${slots} jump from_guest
    oifname ${slots} jump to_guest
  }
  chain from_guest {
    meta nfproto != ipv4 drop
    oifname ${slots} drop
    ip saddr != ${rules.subnet} drop
    tcp flags syn tcp option maxseg size set rt mtu
    ip daddr ${rules.nameserver} meta l4proto { tcp, udp } th dport 53 accept
    ip daddr @not_internet drop
    ${egress ? `oifname "${egress}" accept` : ''}
    drop
  }
  chain to_guest {
    ct direction reply ct state established,related accept
    drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${rules.subnet} oifname != ${slots} masquerade
  }
}
`;
}

export type SlotRules = { addresses: SlotAddresses; nameserver: string };

/**
 * The rules inside a slot's namespace. Every path is closed unless it is named: the host reaches the
 * guest, the guest answers, and the guest reaches what the chain `egress` lets through.
 */
export function slotRules({ addresses, nameserver }: SlotRules): string {
  return `table inet slot {
  ${notInternet()}
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "${UPLINK}" ip daddr ${addresses.slot} dnat ip to ${GUEST.address}
    iifname "${GUEST.tap}" ip daddr ${GUEST.gateway} meta l4proto { tcp, udp } th dport 53 dnat ip to ${nameserver}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${UPLINK}" snat ip to ${addresses.slot}
    # The guest knows the host by one address, whichever slot it is in.
    oifname "${GUEST.tap}" snat ip to ${GUEST.gateway}
  }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
  }
  chain output {
    type filter hook output priority filter; policy drop;
    ct state established,related accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "${UPLINK}" oifname "${GUEST.tap}" jump to_guest
    iifname "${GUEST.tap}" oifname "${UPLINK}" ip saddr ${GUEST.address} jump from_guest
  }
  chain to_guest {
    ct direction reply ct state established,related accept
    ip saddr ${addresses.host} accept
  }
  chain from_guest {
    ct state invalid drop
    ct direction reply ct state established,related accept
    jump egress
    reject with icmpx type admin-prohibited
  }
  chain egress {
  }
}
${egressRules({ allowed: true, nameserver })}`;
}

/**
 * Replaces the chain `egress` of a slot. Refusals are answered, so that a program in the guest fails
 * at once. Without internet, connections that are open already end too.
 */
export function egressRules({ allowed, nameserver }: { allowed: boolean; nameserver: string }): string {
  const accept = `add rule inet slot egress ip daddr ${nameserver} meta l4proto { tcp, udp } th dport 53 accept
add rule inet slot egress ip daddr != @not_internet accept
`;
  return `flush chain inet slot egress
${allowed ? accept : ''}`;
}

const notInternet = () =>
  `set not_internet { type ipv4_addr; flags interval; elements = { ${NOT_INTERNET.join(', ')} }; }`;
