import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import type { SeedSandbox } from '../sandbox.ts';
import { dispatch, type Session } from './dispatch.ts';
import { Outlet } from './outlet.ts';
import { parseMessage } from './parse-message.ts';

export type Pace = {
  pingMs: number;
  /** Whose TCP answers and who does not for this long has hung, does not read, or is halfway through a frame. */
  silenceMs: number;
};

const PACE: Pace = { pingMs: 30_000, silenceMs: 5 * 60_000 };
/** Requests under way of one client, and their bytes; when there are more, no more are read for the moment. */
const MAX_RUNNING = 256;
const MAX_RUNNING_BYTES = 48 * 1024 * 1024;

/** Speaks JSON-RPC with one client until it goes. Requests run side by side. */
export function serveRpc(
  sandbox: SeedSandbox,
  webSocket: WebSocket,
  socket: Socket,
  pace: Pace = PACE,
): void {
  const outlet = new Outlet(webSocket);
  const session: Session = { sandbox, outlet, subscriptions: new Map() };
  const unfinished = countUnfinished(sandbox, webSocket, socket);
  const stopPinging = ping(webSocket, socket, pace);
  let running = 0;
  let runningBytes = 0;
  const regulate = () => {
    const isBusy = running >= MAX_RUNNING || runningBytes > MAX_RUNNING_BYTES || outlet.isFull;
    if (isBusy === webSocket.isPaused) return;
    if (!isBusy) return webSocket.resume();
    webSocket.pause();
    if (outlet.isFull) void outlet.drained().then(regulate);
  };

  webSocket.on('message', (data: RawData) => {
    const bytes = unfinished.take();
    running++;
    runningBytes += bytes;
    void answer(session, String(data)).finally(() => {
      running--;
      runningBytes -= bytes;
      sandbox.received.give(bytes);
      regulate();
    });
    regulate();
  });
  webSocket.on('error', () => {}); // 'close' follows
  webSocket.once('close', () => {
    stopPinging();
    unfinished.end();
    for (const subscription of session.subscriptions.values()) subscription.end();
    session.subscriptions.clear();
  });
}

async function answer(session: Session, text: string): Promise<void> {
  const { outlet, sandbox } = session;
  const { isBatch, requests } = parseMessage(text);
  const replies = [];
  let bytes = 0; // that are held until the client has taken them
  for (const request of requests) {
    const reply = await dispatch(session, request);
    if (!reply) continue;
    replies.push(reply);
    bytes += reply.text.length;
    sandbox.held.take(reply.text.length);
  }
  if (replies.length > 0) {
    const all = replies.map((reply) => reply.text).join(',');
    outlet.send(isBatch ? `[${all}]` : all, () => sandbox.held.give(bytes));
  }
  for (const reply of replies) reply.afterwards?.();
}

/** Counts what has come of messages that are not answered yet, for all clients of the sandbox together. */
function countUnfinished(sandbox: SeedSandbox, webSocket: WebSocket, socket: Socket) {
  let bytes = 0;
  const onData = (chunk: Buffer) => {
    bytes += chunk.length;
    sandbox.received.take(chunk.length);
    if (sandbox.received.isSpent) webSocket.terminate();
  };
  // Before the parser, which may have a message in the same chunk.
  socket.prependListener('data', onData);
  return {
    /** The message is whole: whoever calls gives its bytes back. */
    take(): number {
      const taken = bytes;
      bytes = 0;
      return taken;
    },
    end(): void {
      socket.off('data', onData);
      sandbox.received.give(bytes);
      bytes = 0;
    },
  };
}

/** Pings, and ends a connection by which nothing has come for long. Returns what stops that. */
function ping(webSocket: WebSocket, socket: Socket, { pingMs, silenceMs }: Pace): () => void {
  let heardAt = Date.now();
  let heardBytes = socket.bytesRead;
  const timer = setInterval(() => {
    if (socket.bytesRead !== heardBytes) heardAt = Date.now();
    heardBytes = socket.bytesRead;
    if (Date.now() - heardAt > silenceMs) webSocket.terminate();
    else webSocket.ping();
  }, pingMs);
  return () => clearInterval(timer);
}
