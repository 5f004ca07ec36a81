import { BlockList, isIP, type Socket } from 'node:net';
import { SandboxError } from '@sandbox-backend/protocol';

const DISCARD_MS = 1_000;
const BODY = '{"message":"This address may not use the sandboxes of this server","code":403}';
const ANSWER = `HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n${BODY}`;

/**
 * Says of an address whether it is in one of the networks (CIDR, or single addresses).
 * Errors: `invalid_argument` for a network that is none.
 */
export function allowNetworks(networks: readonly string[]): (address: string | undefined) => boolean {
  const allowed = new BlockList();
  for (const network of networks) addNetwork(allowed, network);
  return (address = '') => {
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
    const family = isIP(plain);
    return family !== 0 && allowed.check(plain, family === 4 ? 'ipv4' : 'ipv6');
  };
}

function addNetwork(list: BlockList, network: string): void {
  const [, address = '', bits] = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(network.trim()) ?? [];
  const family = isIP(address);
  const most = family === 4 ? 32 : 128;
  const prefix = Number(bits ?? most);
  if (family === 0 || prefix > most) {
    throw new SandboxError('invalid_argument', `${JSON.stringify(network)} is not a network`, {
      hint: 'Write it as an address and the number of its leading bits, for example 192.168.0.0/16.',
    });
  }
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
}

/** Answers a connection of which nothing has been read, and reads nothing of it: what comes is thrown away. */
export function turnAway(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), DISCARD_MS);
  socket.on('error', () => {}); // 'close' follows
  socket.once('close', () => clearTimeout(timer));
  socket.end(ANSWER);
  socket.resume();
}
