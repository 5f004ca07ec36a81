import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { badRequest, Refusal } from '../../refusal.ts';
import type { SeedSandbox } from '../sandbox.ts';
import { serveRpc } from './serve.ts';

export const LARGEST_MESSAGE_BYTES = 32 * 1024 * 1024;
const MAX_PEERS = 256;

/** Compression, which clients offer, is declined: a small message of it may be a large one. */
const webSockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: LARGEST_MESSAGE_BYTES,
});

/** Lets a client speak JSON-RPC over a WebSocket. Throws the refusal for another path or one client too many. */
export function acceptRpc(
  sandbox: SeedSandbox,
  path: string,
  req: IncomingMessage,
  socket: Socket,
  head: Buffer,
): void {
  const { link } = sandbox;
  const { sandboxId } = link.route;
  if (path.split('?', 1)[0] !== '/ws') throw new Refusal({ sandboxId, message: 'Not found', code: 404 });
  if (req.headers.upgrade?.toLowerCase() !== 'websocket') throw badRequest('This is a WebSocket');
  if (sandbox.peers >= MAX_PEERS) {
    throw new Refusal({ sandboxId, message: 'The sandbox has too many WebSockets', code: 429 });
  }
  sandbox.peers++;
  link.clients.set(socket, () => socket.destroy());
  socket.once('close', () => {
    sandbox.peers--;
    link.clients.delete(socket);
  });
  socket.setTimeout(0);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 60_000);
  webSockets.handleUpgrade(req, socket, head, (webSocket: WebSocket) => serveRpc(sandbox, webSocket, socket));
}
