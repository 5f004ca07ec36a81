import type { Socket } from 'node:net';
import type { ServerChannel, TcpipBindInfo } from 'ssh2';
import { askEnvd } from '../tunnel.ts';
import { joinChannel } from './join-channel.ts';
import type { Visitor } from './visitor.ts';

const MAX_LISTENERS = 16;
const FIRST_FREE_PORT = 1024;
/** A line of envd: `CONNECTION ` and a UUID. */
const LONGEST_LINE = 128;

/**
 * `ssh -R`: ports on the guest's loopback, whose connections go to the client. envd listens, and each connection
 * is fetched from it through a connection of its own.
 */
export function forwardRemote(visitor: Visitor): void {
  const { client, route, gone, tunnelPort } = visitor;
  const listeners = new Map<string, Socket>();
  gone.addEventListener('abort', () => {
    for (const control of listeners.values()) control.destroy();
  });
  let opening = 0;
  const key = (bindAddr: string, port: number) => `${bindAddr} ${port}`;

  const listen = async ({ bindAddr, bindPort }: TcpipBindInfo): Promise<number | undefined> => {
    if (listeners.size + opening >= MAX_LISTENERS || listeners.has(key(bindAddr, bindPort))) return undefined;
    if (bindPort !== 0 && bindPort < FIRST_FREE_PORT && visitor.login.user !== 'root') return undefined;
    opening += 1;
    const opened = await askEnvd(route, `LISTEN ${bindPort}`, gone, tunnelPort);
    opening -= 1;
    if (!opened) return undefined;
    const { answer, socket } = opened;
    const port = Number(answer);
    listeners.set(key(bindAddr, port), socket);
    socket.on('close', () => listeners.delete(key(bindAddr, port)));
    void eachConnection(socket, (id) => visitor.work(forward(visitor, bindAddr, port, id)));
    return port;
  };

  client.on('request', (accept, reject, name, info) => {
    if (name === 'tcpip-forward') {
      const opening = listen(info as TcpipBindInfo).then((port) => {
        if (port === undefined) reject?.();
        else accept?.(port);
      });
      visitor.work(opening);
    } else if (name === 'cancel-tcpip-forward') {
      const { bindAddr, bindPort } = info as TcpipBindInfo;
      const control = listeners.get(key(bindAddr, bindPort));
      control?.destroy();
      if (control) accept?.();
      else reject?.();
    } else {
      reject?.(); // sockets of a file system are not forwarded
    }
  });
}

async function eachConnection(control: Socket, onConnection: (id: string) => void): Promise<void> {
  let text = '';
  try {
    for await (const chunk of control as AsyncIterable<Buffer>) {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const [, id] = /^CONNECTION ([0-9a-f-]{36})$/.exec(text.slice(0, end)) ?? [];
        if (id) onConnection(id);
        text = text.slice(end + 1);
      }
      if (text.length > LONGEST_LINE) break; // not envd's
    }
  } catch {
    // It was cut.
  }
  control.destroy();
}

async function forward(visitor: Visitor, address: string, port: number, id: string): Promise<void> {
  const { client, route, gone, channels, tunnelPort } = visitor;
  const allowed = channels.take();
  try {
    const channel = allowed ? await openToClient() : undefined;
    const opened = await askEnvd(route, `ACCEPT ${id}`, gone, tunnelPort);
    if (opened && channel) await joinChannel(visitor, channel, opened.socket);
    // Whoever connected in the guest is not left waiting.
    opened?.socket.destroy();
    channel?.end();
  } finally {
    if (allowed) channels.give();
  }

  function openToClient(): Promise<ServerChannel | undefined> {
    return new Promise((resolve) => {
      const leave = () => resolve(undefined);
      gone.addEventListener('abort', leave, { once: true });
      client.forwardOut(address, port, '127.0.0.1', 0, (error, channel) => {
        gone.removeEventListener('abort', leave);
        resolve(error ? undefined : channel);
      });
    });
  }
}
