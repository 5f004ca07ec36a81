import { type IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { relay, requestGuest } from './forward.ts';
import { type Link, reset } from './link.ts';
import { connectionLost, Refusal, refuse } from './refusal.ts';
import type { Target } from './target.ts';

/**
 * Lets client and guest switch protocols (WebSocket and any other): once the guest has agreed, bytes
 * pass both ways unread. Before that nothing does, so that no request reaches the guest unseen.
 */
export function upgrade(
  link: Link,
  target: Target,
  req: IncomingMessage,
  client: Socket,
  head: Buffer,
): void {
  link.clients.set(client, () => reset(client));
  const res = answerOn(req, client);
  const upstream = requestGuest(link, target, req, { upgrade: req.headers.upgrade });
  client.once('close', () => {
    link.clients.delete(client);
    upstream.destroy();
  });
  upstream.once('upgrade', (answer, guest, guestHead) => {
    res.detachSocket(client);
    link.tunnels.add(guest);
    guest.once('close', () => link.tunnels.delete(guest));
    client.write(rawHead(answer));
    join(client, guest, head, guestHead);
  });
  upstream.once('response', (answer) => relay(link, answer, req, res));
  upstream.on('error', (error) => {
    if (client.destroyed) return;
    refuse(req, res, error instanceof Refusal ? error : connectionLost(target.sandboxId, target.port));
  });
  upstream.end();
}

/** An answer to a request that Node has handed over as a bare connection; the connection ends with it. */
export function answerOn(req: IncomingMessage, socket: Socket): ServerResponse {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  res.once('finish', () => socket.destroySoon());
  return res;
}

function join(client: Socket, guest: Duplex, head: Buffer, guestHead: Buffer): void {
  if (guestHead.length > 0) guest.unshift(guestHead);
  if (head.length > 0) client.unshift(head);
  for (const socket of [client, guest]) {
    socket.on('error', () => {}); // 'close' follows
    if (!(socket instanceof Socket)) continue;
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
  }
  client.once('close', () => guest.destroy());
  guest.once('close', () => client.destroySoon());
  client.pipe(guest);
  guest.pipe(client);
}

function rawHead(answer: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let at = 0; at < answer.rawHeaders.length; at += 2) {
    lines.push(`${answer.rawHeaders[at]}: ${answer.rawHeaders[at + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
