import { BlockList, isIP } from 'node:net';
import { invalidSetting } from '@sandbox-backend/machines';

/** Networks in CIDR form, or single addresses, as a list that can be asked. Errors: `invalid_argument`. */
export function networkList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [, address = '', bits] = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(network) ?? [];
    const version = isIP(address);
    const longest = version === 4 ? 32 : 128;
    const length = bits === undefined ? longest : Number(bits);
    if (version === 0 || length > longest) {
      throw invalidSetting('SANDBOX_SEED_CLIENTS', network, 'networks in CIDR form, with commas between');
    }
    list.addSubnet(address, length, version === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}
