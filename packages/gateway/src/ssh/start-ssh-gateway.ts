import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { listen, log } from '@sandbox-backend/kit';
import ssh2 from 'ssh2';
import type { Resolve } from '../admit.ts';
import { TUNNEL_PORT } from '../tunnel.ts';
import { authenticate, type SshAccess } from './authenticate.ts';
import { Entrance } from './entrance.ts';
import { openHostKey } from './host-key.ts';
import { CLEAN_UP_MS, serveVisitor } from './serve-visitor.ts';

export type SshGatewayOptions = {
  listen: { host: string; port: number };
  /** Where the server's own key is kept; made when it is missing. */
  hostKeyFile: string;
  access: SshAccess;
  /** What is known of a sandbox; asked for each login. */
  resolve: Resolve;
  /** A client has this long to log in; 30 s by default. */
  loginMs?: number;
  /** envd's, for tests. */
  tunnelPort?: number;
};

export type SshGateway = {
  address: AddressInfo;
  /** The server's public key, as in a known_hosts file. */
  hostKey: string;
  /** Cuts every connection to the sandbox, now. */
  drop(sandboxId: string): void;
  close(): Promise<void>;
};

/** Where the client of a connection went; nowhere before it has logged in. */
type Guest = { sandboxId: string | undefined; cutOff(): void };

const MAX_CONNECTIONS = 1024;
const MAX_PER_SANDBOX = 32;
/** Of those that have not logged in yet; a client costs a key exchange. */
const MAX_STRANGERS = 100;
const MAX_STRANGERS_PER_ADDRESS = 30;
const FAREWELL_MS = 3000;
const KEEP_ALIVE_MS = 30_000;
const KEEP_ALIVES = 4;

/**
 * The SSH door: no sshd runs in any guest, sessions are translated into envd's protocol here.
 * Errors: `failed_precondition` when the address is in use, or the host key file is not one.
 */
export async function startSshGateway(options: SshGatewayOptions): Promise<SshGateway> {
  const { access, resolve, loginMs = 30_000, tunnelPort = TUNNEL_PORT } = options;
  const hostKey = await openHostKey(options.hostKeyFile);
  const entrances = new Map<Entrance, Guest>();
  /** Whose clients have gone, and whose programs are still hung up. */
  const leaving = new Set<Guest>();
  const strangers = () => [...entrances].filter(([, { sandboxId }]) => sandboxId === undefined);

  const isFull = (address: string) => {
    const waiting = strangers();
    return (
      entrances.size >= MAX_CONNECTIONS ||
      waiting.length >= MAX_STRANGERS ||
      waiting.filter(([{ remoteAddress }]) => remoteAddress === address).length >= MAX_STRANGERS_PER_ADDRESS
    );
  };

  const receive = (socket: Socket) => {
    socket.on('error', () => {});
    if (isFull(socket.remoteAddress ?? '')) return void socket.destroy();
    const entrance = new Entrance(socket);
    const guest: Guest = { sandboxId: undefined, cutOff: () => {} };
    entrances.set(entrance, guest);
    const deadline = setTimeout(() => entrance.destroy(), loginMs);
    entrance.on('error', () => {});
    // A client that has been told to go has a moment to read why.
    entrance.on('finish', () => setTimeout(() => entrance.destroy(), FAREWELL_MS).unref());
    entrance.on('close', () => {
      clearTimeout(deadline);
      entrances.delete(entrance);
      if (guest.sandboxId === undefined) return;
      leaving.add(guest);
      setTimeout(() => leaving.delete(guest), CLEAN_UP_MS).unref();
    });
    // One for each connection, so that it is known which entrance a client came through.
    const door = new ssh2.Server(
      {
        hostKeys: [hostKey.privateKey],
        ident: 'sandbox-backend',
        algorithms: { compress: ['none'] }, // what is packed small may be large
        keepaliveInterval: KEEP_ALIVE_MS,
        keepaliveCountMax: KEEP_ALIVES,
      },
      (client) => {
        client.on('error', () => entrance.end()); // not of the protocol, or gone
        client.on('close', () => entrance.destroy());
        const login = authenticate(client, entrance, access);
        client.once('ready', () => {
          clearTimeout(deadline);
          void login.then((named) => {
            guest.sandboxId = named.sandboxId;
            const others = [...entrances.values()].filter(({ sandboxId }) => sandboxId === named.sandboxId);
            if (others.length > MAX_PER_SANDBOX || entrance.destroyed) return void client.end();
            log('info', 'ssh.login', {
              sandboxId: named.sandboxId,
              user: named.user,
              from: entrance.remoteAddress,
            });
            guest.cutOff = serveVisitor(client, entrance, named, resolve(named.sandboxId), tunnelPort);
          });
        });
      },
    );
    door.injectSocket(entrance as unknown as Socket);
  };

  const server = createServer({ noDelay: true, keepAlive: true }, receive);
  const address = await listen(server, {
    ...options.listen,
    name: 'the SSH gateway',
    setting: 'SANDBOX_SSH_LISTEN',
  });
  return {
    address,
    hostKey: hostKey.publicKey,
    drop(sandboxId) {
      for (const [entrance, guest] of entrances) {
        if (guest.sandboxId !== sandboxId) continue;
        guest.cutOff();
        entrance.destroy();
      }
      for (const guest of leaving) if (guest.sandboxId === sandboxId) guest.cutOff();
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const entrance of entrances.keys()) entrance.destroy();
      await closed;
    },
  };
}
