import { Agent, type ClientRequestArgs } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * How long an idle connection to a guest is kept. A server that says how long it keeps one is
 * believed, up to the first figure; others close after five seconds or more.
 */
const IDLE_MS = 55_000;
const IDLE_UNTOLD_MS = 4_000;

/** The connections to the ports of one guest, kept open between requests. */
export class Upstream extends Agent {
  private readonly open: (port: number) => Promise<Duplex>;
  private readonly told = new WeakSet<Duplex>();

  constructor(open: (port: number) => Promise<Duplex>) {
    super({ keepAlive: true, maxFreeSockets: 64, timeout: IDLE_MS, scheduling: 'lifo' });
    this.open = open;
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.open(Number(options.port)).then(
      (socket) => callback?.(null, socket),
      // Node's type asks for a stream beside the error, and its code does not.
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
  }

  /** The server has said how long it keeps this connection. */
  noteKeepAlive(socket: Duplex): void {
    this.told.add(socket);
  }

  override keepSocketAlive(socket: Duplex): boolean {
    // It answers whether to keep the socket, which its type leaves out.
    const kept: unknown = super.keepSocketAlive(socket);
    if (kept === true && !this.told.has(socket) && socket instanceof Socket)
      socket.setTimeout(IDLE_UNTOLD_MS);
    return kept === true;
  }
}
