import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { RunningRoute } from './link.ts';

/** Where envd opens connections to the guest's loopback; the protocol is told in envd's `tunnel.ts`. */
export const TUNNEL_PORT = 49982;

const ANSWER_TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 64;

/**
 * Asks the guest's envd for a connection to a port of its loopback: one line there, one line back, and then
 * the connection is one to the service; undefined when nothing listens there either.
 */
export async function dialThroughEnvd(
  route: RunningRoute,
  port: number,
  signal: AbortSignal,
  tunnelPort = TUNNEL_PORT,
): Promise<Duplex | undefined> {
  return (await askEnvd(route, `CONNECT ${port}`, signal, tunnelPort))?.socket;
}

/**
 * Sends one line, with the sandbox's token behind it; what is after `OK ` in the answer, and the connection, are
 * the caller's. Undefined when envd answers anything else, or nothing.
 */
export function askEnvd(
  route: RunningRoute,
  line: string,
  signal: AbortSignal,
  tunnelPort = TUNNEL_PORT,
): Promise<{ answer: string; socket: Socket } | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: route.address, port: tunnelPort, noDelay: true, signal });
    const timer = setTimeout(() => socket.destroy(), ANSWER_TIMEOUT_MS);
    const settle = (answer: string | undefined) => {
      clearTimeout(timer);
      socket.off('close', refused);
      if (answer === undefined) socket.destroy();
      resolve(answer === undefined ? undefined : { answer, socket });
    };
    const refused = () => settle(undefined);
    socket.on('error', () => {}); // 'close' follows
    socket.once('close', refused);
    socket.once('connect', () => socket.write(`${line} ${route.accessToken ?? ''}`.trimEnd().concat('\n')));
    // Read by hand, so that the socket is handed on as it came: neither flowing nor paused.
    let answer = Buffer.alloc(0);
    const onReadable = () => {
      for (let chunk = socket.read() as Buffer | null; chunk; chunk = socket.read() as Buffer | null) {
        answer = Buffer.concat([answer, chunk]);
      }
      const end = answer.indexOf('\n');
      if (end < 0 && answer.length < MAX_ANSWER_BYTES) return;
      socket.off('readable', onReadable);
      const told = /^OK(?: (.*))?$/.exec(answer.toString('latin1', 0, Math.max(end, 0)));
      if (!told) return settle(undefined);
      const rest = answer.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      settle(told[1] ?? '');
    };
    socket.on('readable', onReadable);
  });
}
