import { BlockList, isIP } from 'node:net';
import { SandboxError } from '@sandbox-backend/protocol';

/** Networks in CIDR form, or single addresses, as a list that can be asked. Errors: `invalid_argument` for what is none. */
export function networkList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [, address = '', bits] = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(network.trim()) ?? [];
    const version = isIP(address);
    const longest = version === 4 ? 32 : 128;
    const length = Number(bits ?? longest);
    if (version === 0 || length > longest) {
      throw new SandboxError('invalid_argument', `${JSON.stringify(network)} is not a network`, {
        hint: 'Write it as an address and the number of its leading bits, for example 192.168.0.0/16.',
      });
    }
    list.addSubnet(address, length, version === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

/** Whether an address, such as that of a socket, is in one of the networks; an IPv4 one may come as an IPv6 one. */
export function isListed(list: BlockList, address: string | undefined): boolean {
  const [plain = ''] = (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '').split('%');
  const version = isIP(plain);
  return version !== 0 && list.check(plain, version === 4 ? 'ipv4' : 'ipv6');
}
