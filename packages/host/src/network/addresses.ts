import { isIPv4 } from 'node:net';
import { SandboxError } from '@sandbox-backend/protocol';

/** The same in every slot: a restored guest keeps the addresses that its template was built with. */
export const GUEST = {
  address: '169.254.0.21',
  mac: '02:fc:00:00:00:05',
  gateway: '169.254.0.22',
  gatewayMac: '02:fc:00:00:00:06',
  prefixLength: 30,
  tap: 'vmtap0',
} as const;

/** Two addresses of one /30: `slot` reaches the guest, `host` is the other end of the pair. */
export type SlotAddresses = { host: string; slot: string; prefixLength: 30 };

const SLOT_SIZE = 4;

/** How many slots a subnet holds. `invalid_argument` when it is no subnet in CIDR form of at most /30. */
export function slotCount(subnet: string): number {
  return parseSubnet(subnet).size / SLOT_SIZE;
}

/** The addresses of a slot: a pure function of its index, so two slots never share one. */
export function slotAddresses(subnet: string, index: number): SlotAddresses {
  const { base, size } = parseSubnet(subnet);
  if (!Number.isSafeInteger(index) || index < 0 || (index + 1) * SLOT_SIZE > size) {
    throw new SandboxError('resource_exhausted', `subnet ${subnet} has no slot ${index}`, {
      hint: 'Stop sandboxes, or configure a larger subnet.',
    });
  }
  const first = base + index * SLOT_SIZE;
  return { host: formatAddress(first + 1), slot: formatAddress(first + 2), prefixLength: 30 };
}

export function parseSubnet(subnet: string): { base: number; size: number } {
  const [, address, bits] = /^([\d.]+)\/(\d{1,2})$/.exec(subnet) ?? [];
  const prefixLength = Number(bits);
  if (!address || !isIPv4(address) || prefixLength > 30) {
    throw new SandboxError('invalid_argument', `${JSON.stringify(subnet)} is not a subnet`, {
      hint: 'Write it as address/length of at most /30, for example 10.168.0.0/16.',
    });
  }
  const size = 2 ** (32 - prefixLength);
  const base = addressNumber(address);
  if (base % size !== 0) {
    throw new SandboxError('invalid_argument', `subnet ${subnet} has bits set after its prefix`, {
      hint: `Did you mean ${formatAddress(base - (base % size))}/${prefixLength}?`,
    });
  }
  return { base, size };
}

/** True when the two ranges share an address. */
export function overlaps(one: string, other: string): boolean {
  const a = parseRange(one);
  const b = parseRange(other);
  return a.base < b.base + b.size && b.base < a.base + a.size;
}

/** Like a subnet, but of any length; a bare address is a /32. */
function parseRange(text: string): { base: number; size: number } {
  const [address = '', bits = '32'] = text.split('/');
  const size = 2 ** (32 - Number(bits));
  const number = addressNumber(address);
  return { base: number - (number % size), size };
}

const addressNumber = (address: string) =>
  address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);

const formatAddress = (number: number) =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
