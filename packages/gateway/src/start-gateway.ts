import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { admit, type Resolve } from './admit.ts';
import { forward, LARGEST_HEAD_BYTES } from './forward.ts';
import { type DialLoopback, Link, type RunningRoute } from './link.ts';
import { badRequest, Refusal, refuse } from './refusal.ts';
import { dialThroughEnvd } from './tunnel.ts';
import { answerOn, upgrade } from './upgrade.ts';

export type GatewayOptions = {
  listen: { host: string; port: number };
  /** What is known of a sandbox; asked on every request, so it must be quick. */
  resolve: Resolve;
  /** How a port on the guest's loopback is reached; through envd by default. */
  dialLoopback?: DialLoopback;
  /** Requests and switched connections to one sandbox at once. */
  maxConnections?: number;
};

export type Gateway = {
  address: AddressInfo;
  /** Cuts every connection that has to do with the sandbox, now; for when it has ended. */
  drop(sandboxId: string): void;
  close(): Promise<void>;
};

/** Longer than the load balancers in front of the original (620 s), whose clients expect that. */
const KEEP_ALIVE_MS = 650_000;

/**
 * The data plane: sends HTTP requests and WebSockets to the ports of sandboxes.
 * Errors: `failed_precondition` when the address is in use or not this host's.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { resolve, dialLoopback = dialThroughEnvd, maxConnections = 4096 } = options;
  const links = new Map<string, Link>();

  const drop = (sandboxId: string) => {
    const link = links.get(sandboxId);
    links.delete(sandboxId);
    link?.cut();
  };
  const linkTo = (route: RunningRoute): Link => {
    const known = links.get(route.sandboxId);
    if (known?.leadsTo(route)) {
      if (known.clients.size < maxConnections) return known;
      const { sandboxId } = route;
      throw new Refusal({ sandboxId, message: 'The sandbox has too many connections', code: 429 });
    }
    drop(route.sandboxId);
    const link = new Link(route, dialLoopback);
    links.set(route.sandboxId, link);
    return link;
  };
  const enter = (req: IncomingMessage) => {
    try {
      const { target, route } = admit(req, resolve);
      return { target, link: linkTo(route) };
    } catch (caught) {
      if (!(caught instanceof Refusal)) {
        log('error', 'gateway.request', { error: SandboxError.from(caught).describe() });
      }
      throw caught;
    }
  };

  const server = createServer({
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: 30_000,
    requestTimeout: 0, // an upload takes as long as it takes
    maxHeaderSize: LARGEST_HEAD_BYTES,
    noDelay: true,
    // Offers of HTTP/2 in passing are for declining; with a body there is no switching.
    shouldUpgradeCallback: (req) =>
      !/\bh2c\b/i.test(req.headers.upgrade ?? '') &&
      req.headers['transfer-encoding'] === undefined &&
      Number(req.headers['content-length'] ?? 0) === 0,
  });
  server.on('request', (req, res) => {
    try {
      const { target, link } = enter(req);
      forward(link, target, req, res);
    } catch (caught) {
      refuse(req, res, caught);
    }
  });
  // The guest is asked before the client is told to go on.
  server.on('checkContinue', (req, res) => server.emit('request', req, res));
  server.on('upgrade', (req, stream: Duplex, head) => {
    const socket = stream as Socket; // as it always is for a server on TCP
    socket.on('error', () => {});
    try {
      const { target, link } = enter(req);
      upgrade(link, target, req, socket, head);
    } catch (caught) {
      refuse(req, answerOn(req, socket), caught);
    }
  });
  server.on('connect', (req, stream: Duplex) => {
    stream.on('error', () => {});
    refuse(
      req,
      answerOn(req, stream as Socket),
      new Refusal({ message: 'CONNECT is not offered here', code: 405 }),
    );
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (socket.writable && error.code !== 'ECONNRESET') socket.end(malformed(error.code));
    else socket.destroy();
  });

  server.listen(options.listen.port, options.listen.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const { host, port } = options.listen;
    const why = code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on (${code})`;
    throw new SandboxError('failed_precondition', `The address ${host}:${port} of the gateway ${why}`, {
      cause,
      hint: 'Set SANDBOX_GATEWAY_LISTEN to another address, or end the process that uses this one.',
    });
  }
  return {
    address: server.address() as AddressInfo,
    drop,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const sandboxId of [...links.keys()]) drop(sandboxId);
      server.closeAllConnections();
      await closed;
    },
  };
}

function malformed(code: string | undefined): string {
  const tooLarge = code === 'HPE_HEADER_OVERFLOW';
  const status = tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request';
  const { body } = badRequest(tooLarge ? 'The headers are too large' : 'The request is not valid HTTP');
  const text = JSON.stringify({ ...body, code: Number(status.slice(0, 3)) });
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`;
}
