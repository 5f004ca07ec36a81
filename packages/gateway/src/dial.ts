import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** A service that is just starting is waited for: five tries in about a second. */
const PAUSES_MS = [100, 200, 300, 400];
const CONNECT_TIMEOUT_MS = 2_000;

export type Dial = {
  address: string;
  port: number;
  /** Ends the waiting at once. */
  signal: AbortSignal;
  /** Another way in, for a service that listens on the guest's loopback only. */
  dialLoopback?: (() => Promise<Duplex | undefined>) | undefined;
};

/** Opens a connection to a port of a guest; undefined when nothing accepts it. Rejects only with the signal's reason. */
export async function dial(options: Dial): Promise<Duplex | undefined> {
  for (const pauseMs of [...PAUSES_MS, undefined]) {
    const socket = (await connectTo(options)) ?? (await options.dialLoopback?.().catch(() => undefined));
    if (options.signal.aborted) socket?.destroy();
    options.signal.throwIfAborted();
    if (socket) return socket;
    if (pauseMs !== undefined) await sleep(pauseMs, undefined, { signal: options.signal });
  }
  return undefined;
}

function connectTo({ address, port, signal }: Dial): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, noDelay: true, keepAlive: true });
    const settle = (result: Socket | undefined) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      if (result) socket.removeListener('error', giveUp);
      resolve(result);
    };
    const giveUp = () => {
      settle(undefined);
      socket.destroy();
    };
    const timer = setTimeout(giveUp, CONNECT_TIMEOUT_MS);
    signal.addEventListener('abort', giveUp);
    socket.on('error', giveUp);
    socket.once('connect', () => settle(socket));
  });
}
