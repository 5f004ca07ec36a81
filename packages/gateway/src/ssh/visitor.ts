import { Agent } from 'node:http';
import { Envd } from '@sandbox-backend/sdk';
import type { Connection, ServerChannel } from 'ssh2';
import type { RunningRoute } from '../link.ts';
import type { Entrance } from './entrance.ts';
import type { Login } from './login.ts';

/** A client that was let in, and what it may use. */
export type Visitor = {
  readonly client: Connection;
  readonly entrance: Entrance;
  readonly login: Login;
  readonly route: RunningRoute;
  readonly envd: Envd;
  /** Aborted when the connection has ended. */
  readonly gone: AbortSignal;
  readonly channels: Channels;
  /** Keeps the connections to the guest open until the work is done. */
  work(done: Promise<void>): void;
  readonly tunnelPort: number;
};

/** Channels at once: enough for a browser behind a forwarding, too few to fill the memory with their windows. */
const MAX_CHANNELS = 64;
/** The protocol's code keeps a little of each session that was closed before it was used. */
const MAX_UNUSED = 1000;
/** Twice what a client may send before it is told that there is room. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

export type Channels = {
  /** False when there are too many. */
  take(): boolean;
  give(): void;
  /** Holds the channel, until it closes, to what its window allows: the protocol's code does not. */
  watch(channel: ServerChannel): void;
  /** A session has come and gone without a program. */
  countUnused(): void;
};

/** Keeps a client within its bounds, and ends the connection of one that breaks the rules. */
export function countChannels(entrance: Entrance): Channels {
  const watched = new Set<ServerChannel>();
  let open = 0;
  let unused = 0;
  entrance.on('data', () => {
    for (const channel of watched) if (channel.readableLength > MAX_UNREAD_BYTES) entrance.destroy();
  });
  return {
    take() {
      if (open >= MAX_CHANNELS) return false;
      open += 1;
      return true;
    },
    give() {
      open -= 1;
    },
    watch(channel) {
      watched.add(channel);
      channel.once('close', () => watched.delete(channel));
    },
    countUnused() {
      unused += 1;
      if (unused > MAX_UNUSED) entrance.destroy();
    },
  };
}

/**
 * envd of the sandbox over connections of this visitor's own. After `close` there are none and no more can be made:
 * another sandbox may have got the address.
 */
export function openEnvd(route: RunningRoute): { envd: Envd; close(): void } {
  const agent = new VisitorAgent({ keepAlive: true, maxFreeSockets: 8 });
  const envd = new Envd({
    sandboxUrl: `http://${route.address}:${route.envdPort}`,
    sandboxId: route.sandboxId,
    accessToken: route.accessToken,
    agent,
  });
  return { envd, close: () => agent.close() };
}

class VisitorAgent extends Agent {
  private closed = false;

  override createConnection(
    options: Parameters<Agent['createConnection']>[0],
    callback?: Parameters<Agent['createConnection']>[1],
  ) {
    if (!this.closed) return super.createConnection(options, callback);
    // Node's type asks for a stream beside the error, and its code does not.
    callback?.(new Error('the connection has ended'), undefined as never);
    return undefined;
  }

  close(): void {
    this.closed = true;
    this.destroy();
  }
}
