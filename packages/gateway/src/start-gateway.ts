import type { IncomingMessage } from 'node:http';
import { admit, type Resolve } from './admit.ts';
import { createDataServer, type DataDoor, type DataServerOptions, openDataDoor } from './data-server.ts';
import { forward } from './forward.ts';
import type { DialLoopback } from './link.ts';
import { createLinks } from './links.ts';
import { dialThroughEnvd } from './tunnel.ts';
import { upgrade } from './upgrade.ts';

export type GatewayOptions = {
  listen: { host: string; port: number };
  /** What is known of a sandbox; asked on every request, so it must be quick. */
  resolve: Resolve;
  /** How a port on the guest's loopback is reached; through envd by default. */
  dialLoopback?: DialLoopback;
  /** Requests and switched connections to one sandbox at once. */
  maxConnections?: number;
};

export type Gateway = DataDoor;

/**
 * The data plane: sends HTTP requests and WebSockets to the ports of sandboxes.
 * Errors: `failed_precondition` when the address is in use or not this host's.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { resolve, dialLoopback = dialThroughEnvd, maxConnections = 4096 } = options;
  const links = createLinks({ dialLoopback, maxConnections });
  const enter = (req: IncomingMessage) => {
    const { target, route } = admit(req, resolve);
    return { target, link: links.to(route) };
  };
  const serverOptions: DataServerOptions = {
    onRequest(req, res) {
      const { target, link } = enter(req);
      forward(link, target, req, res);
    },
    onUpgrade(req, socket, head) {
      const { target, link } = enter(req);
      upgrade(link, target, req, socket, head);
    },
  };
  const server = createDataServer(serverOptions);
  return openDataDoor(server, links, {
    ...options.listen,
    name: 'the gateway',
    setting: 'SANDBOX_GATEWAY_LISTEN',
  });
}
