import { once } from 'node:events';
import { type AddressInfo, type BlockList, createServer, type Socket } from 'node:net';
import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';

export type Door = { address: AddressInfo; close(): Promise<void> };

const MOST_CONNECTIONS = 512;
/** One line of the log for all that are refused within this time. */
const QUIET_MS = 10_000;

/**
 * Listens, and hands over the connections of the clients that are on the list; every other one is destroyed before
 * a byte of it is read. Errors: `failed_precondition` when the address is in use or not this host's.
 */
export async function openDoor(
  options: { listen: { host: string; port: number }; clients: BlockList; setting: string },
  accept: (socket: Socket) => void,
): Promise<Door> {
  const { listen, clients, setting } = options;
  const sockets = new Set<Socket>();
  let spokeAt = -Infinity;
  const refuse = (socket: Socket) => {
    const from = socket.remoteAddress;
    socket.destroy();
    if (performance.now() - spokeAt < QUIET_MS) return;
    spokeAt = performance.now();
    log('warn', 'seed.refuse', { from, hint: 'Add its network to SANDBOX_SEED_CLIENTS to let it in.' });
  };
  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (!isClient(socket, clients)) return refuse(socket);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    accept(socket);
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.listen(listen.port, listen.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on (${code})`;
    throw new SandboxError('failed_precondition', `The address ${listen.host}:${listen.port} ${why}`, {
      cause,
      hint: `Set ${setting} to another address, or end the process that uses this one.`,
    });
  }
  return {
    address: server.address() as AddressInfo,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** An IPv4 client of a socket that takes both kinds comes as an IPv6 one; the list knows it all the same. */
function isClient({ remoteAddress, remoteFamily }: Socket, clients: BlockList): boolean {
  const [address] = remoteAddress?.split('%') ?? [];
  return address !== undefined && clients.check(address, remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4');
}
