import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ListenSpec, listen, log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { LARGEST_HEAD_BYTES } from './forward.ts';
import type { Links } from './links.ts';
import { badRequest, Refusal, refuse } from './refusal.ts';
import { answerOn } from './upgrade.ts';

export type DataDoor = {
  address: AddressInfo;
  /** Cuts every connection that has to do with the sandbox, now; for when it has ended. */
  drop(sandboxId: string): void;
  close(): Promise<void>;
};

export type DataServerOptions = {
  /** Both answer the request, or throw the refusal to answer with. */
  onRequest(req: IncomingMessage, res: ServerResponse): void;
  onUpgrade(req: IncomingMessage, socket: Socket, head: Buffer): void;
};

/** Longer than the load balancers in front of the original (620 s), whose clients expect that. */
const KEEP_ALIVE_MS = 650_000;

/** An HTTP server for what sandboxes serve, not listening yet; what is malformed or thrown, it answers. */
export function createDataServer({ onRequest, onUpgrade }: DataServerOptions): Server {
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
      onRequest(req, res);
    } catch (caught) {
      refuse(req, res, report(caught));
    }
  });
  // The guest is asked before the client is told to go on.
  server.on('checkContinue', (req, res) => server.emit('request', req, res));
  server.on('upgrade', (req, stream: Duplex, head) => {
    const socket = stream as Socket; // as it always is for a server on TCP
    socket.on('error', () => {});
    try {
      onUpgrade(req, socket, head);
    } catch (caught) {
      refuse(req, answerOn(req, socket), report(caught));
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
  return server;
}

/** Has a server listen for sandboxes that are reached over `links`. Errors: those of `listen`. */
export async function openDataDoor(server: Server, links: Links, spec: ListenSpec): Promise<DataDoor> {
  const address = await listen(server, spec);
  return {
    address,
    drop: links.drop,
    async close() {
      const closed = once(server, 'close');
      server.close();
      links.dropAll();
      server.closeAllConnections();
      await closed;
    },
  };
}

function report(caught: unknown): unknown {
  if (!(caught instanceof Refusal)) {
    log('error', 'gateway.request', { error: SandboxError.from(caught).describe() });
  }
  return caught;
}

function malformed(code: string | undefined): string {
  const tooLarge = code === 'HPE_HEADER_OVERFLOW';
  const status = tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request';
  const { body } = badRequest(tooLarge ? 'The headers are too large' : 'The request is not valid HTTP');
  const text = JSON.stringify({ ...body, code: Number(status.slice(0, 3)) });
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`;
}
