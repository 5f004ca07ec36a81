import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SandboxRoute } from '@sandbox-backend/protocol';
import { dial } from './dial.ts';
import { portNotOpen, sandboxNotFound } from './refusal.ts';
import { ENVD_PORT } from './target.ts';
import { Upstream } from './upstream.ts';

export type RunningRoute = Extract<SandboxRoute, { state: 'running' }>;

/** Reaches a port that the guest serves on its loopback only; undefined when nothing listens there. */
export type DialLoopback = (
  route: RunningRoute,
  port: number,
  signal: AbortSignal,
) => Promise<Duplex | undefined>;

/** Every connection that has to do with one sandbox, so that all of them can be cut in one call. */
export class Link {
  readonly route: RunningRoute;
  readonly upstream: Upstream;
  /** Client connections with a request to this sandbox under way, and what ends each of them. */
  readonly clients = new Map<Duplex, () => void>();
  /** Connections to the guest that switched protocols and left the pool. */
  readonly tunnels = new Set<Duplex>();
  private readonly ended = new AbortController();
  /** Aborted when the link is cut. */
  readonly signal = this.ended.signal;

  constructor(route: RunningRoute, dialLoopback: DialLoopback | undefined) {
    this.route = route;
    const { signal } = this;
    this.upstream = new Upstream(async (port) => {
      const isEnvd = port === ENVD_PORT;
      const loopback = !isEnvd && dialLoopback ? () => dialLoopback(route, port, signal) : undefined;
      const socket = await dial({
        address: route.address,
        port: isEnvd ? route.envdPort : port,
        signal,
        dialLoopback: loopback,
      }).catch(() => {
        throw sandboxNotFound(route.sandboxId);
      });
      if (!socket) throw portNotOpen(route.sandboxId, port);
      return socket;
    });
  }

  /** Whether a route of the same sandbox leads to the same guest. */
  leadsTo(route: RunningRoute): boolean {
    return this.route.address === route.address && this.route.envdPort === route.envdPort;
  }

  cut(): void {
    this.ended.abort();
    for (const end of [...this.clients.values()]) end();
    for (const socket of this.tunnels) reset(socket);
    this.upstream.destroy();
  }
}

/** Closes a connection so that the other side sees an abort and not an end. */
export function reset(socket: Duplex): void {
  if (socket instanceof Socket && !socket.destroyed) socket.resetAndDestroy();
  else socket.destroy();
}
