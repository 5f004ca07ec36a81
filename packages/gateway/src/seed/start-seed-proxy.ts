import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { BlockList, Socket } from 'node:net';
import { isListed } from '@sandbox-backend/kit';
import type { Resolve } from '../admit.ts';
import { createDataServer, type DataDoor, type DataServerOptions, openDataDoor } from '../data-server.ts';
import { forward } from '../forward.ts';
import type { DialLoopback, RunningRoute } from '../link.ts';
import { createLinks } from '../links.ts';
import { portNotOpen, sandboxNotFound } from '../refusal.ts';
import { ENVD_PORT } from '../target.ts';
import { dialThroughEnvd } from '../tunnel.ts';
import { upgrade } from '../upgrade.ts';
import { answerHttp } from './http/route.ts';
import { readSeedPath, type SeedTarget } from './read-path.ts';
import { acceptRpc } from './rpc/accept.ts';
import { seedSandboxOf } from './sandbox.ts';
import { turnAway } from './turn-away.ts';

export type SeedProxyOptions = {
  listen: { host: string; port: number };
  /** Networks whose clients may come in; nobody else may. */
  clients: BlockList;
  /** What is known of a sandbox; asked on every request, so it must be quick. */
  resolve: Resolve;
  dialLoopback?: DialLoopback;
  /** Requests and switched connections to one sandbox at once. */
  maxConnections?: number;
};

/** Its `drop` forgets the processes of the sandbox, too. */
export type SeedProxy = DataDoor;

/** Where the seed's clients expect its daemon. Nothing listens there for them: the host speaks its dialect. */
export const SEED_ENVD_PORT = 49982;

/**
 * The data plane of the seed's clients: `/<privateIP>/<port>/…`, where `privateIP` is the id and the secret of
 * a sandbox. Errors: `failed_precondition` when the address is in use or not this host's.
 */
export async function startSeedProxy(options: SeedProxyOptions): Promise<SeedProxy> {
  const { dialLoopback = dialThroughEnvd, maxConnections = 4096 } = options;
  const links = createLinks({ dialLoopback, maxConnections });
  const enter = (req: IncomingMessage) => {
    const target = readSeedPath(req);
    return { target, link: links.to(admit(target, options.resolve)) };
  };
  const serverOptions: DataServerOptions = {
    onRequest(req, res) {
      const { target, link } = enter(req);
      if (target.port === SEED_ENVD_PORT) answerHttp(seedSandboxOf(link), target.path, req, res);
      else forward(link, target, req, res);
    },
    onUpgrade(req, socket, head) {
      const { target, link } = enter(req);
      if (target.port === SEED_ENVD_PORT) acceptRpc(seedSandboxOf(link), target.path, req, socket, head);
      else upgrade(link, target, req, socket, head);
    },
  };
  const server = createDataServer(serverOptions);
  const [serve] = server.listeners('connection') as [(socket: Socket) => void];
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    if (isListed(options.clients, socket.remoteAddress)) serve.call(server, socket);
    else turnAway(socket);
  });
  return openDataDoor(server, links, {
    ...options.listen,
    name: "the seed's data plane",
    setting: 'SANDBOX_SEED_PROXY_LISTEN',
  });
}

/** Who has no right to a sandbox learns nothing of it: not even whether there is one. */
function admit({ sandboxId, token, port }: SeedTarget, resolve: Resolve): RunningRoute {
  const route = resolve(sandboxId);
  if (route?.state !== 'running' || !sameToken(token, route.pathToken)) throw sandboxNotFound(sandboxId);
  // envd itself is not for these clients; its tunnel has the port of the dialect, so nothing leads there.
  if (port === ENVD_PORT || port === route.envdPort) throw portNotOpen(sandboxId, port);
  return route;
}

const sameToken = (given: string, expected: string | undefined) =>
  expected !== undefined && expected !== '' && timingSafeEqual(digest(given), digest(expected));

const digest = (text: string) => createHash('sha256').update(text).digest();
