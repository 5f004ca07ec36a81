import type { Socket } from 'node:net';

const DISCARD_MS = 1_000;
const BODY = '{"message":"This address may not use the sandboxes of this server","code":403}';
const ANSWER = `HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n${BODY}`;

/** Answers a connection of which nothing has been read, and reads nothing of it: what comes is thrown away. */
export function turnAway(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), DISCARD_MS);
  socket.on('error', () => {}); // 'close' follows
  socket.once('close', () => clearTimeout(timer));
  socket.end(ANSWER);
  socket.resume();
}
