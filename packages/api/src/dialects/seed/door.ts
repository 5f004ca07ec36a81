import { once } from 'node:events';
import { type AddressInfo, type BlockList, createServer, type Socket } from 'node:net';
import { isListed, listen, log } from '@sandbox-backend/kit';

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
  const { listen: at, clients, setting } = options;
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
    if (!isListed(clients, socket.remoteAddress)) return refuse(socket);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    accept(socket);
  });
  server.maxConnections = MOST_CONNECTIONS;
  const address = await listen(server, { ...at, name: "the seed's control plane", setting });
  return {
    address,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
