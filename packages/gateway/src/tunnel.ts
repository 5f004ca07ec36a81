import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RunningRoute } from './link.ts';

const ANSWER_TIMEOUT_MS = 5_000;

/**
 * Asks the guest's envd for a connection to a port of its loopback, over a connection that switches
 * protocols; undefined when nothing listens there either.
 */
export function dialThroughEnvd(
  route: RunningRoute,
  port: number,
  signal: AbortSignal,
): Promise<Duplex | undefined> {
  return new Promise((resolve) => {
    const ask = request({
      host: route.address,
      port: route.envdPort,
      path: `/tunnel?port=${port}`,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'tcp',
        ...(route.accessToken && { 'X-Access-Token': route.accessToken }),
      },
      signal,
    });
    const timer = setTimeout(() => ask.destroy(), ANSWER_TIMEOUT_MS);
    const settle = (socket: Duplex | undefined) => {
      clearTimeout(timer);
      resolve(socket);
    };
    ask.once('upgrade', (_answer, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      socket.setNoDelay(true);
      settle(socket);
    });
    ask.once('response', (answer) => {
      answer.destroy();
      settle(undefined);
    });
    ask.on('error', () => settle(undefined));
    ask.end();
  });
}
