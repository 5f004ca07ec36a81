import { once } from 'node:events';
import {
  Agent,
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type Server,
} from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { SandboxRoute } from '@sandbox-backend/protocol';
import type { RunningRoute } from '../link.ts';
import { type GatewayOptions, startGateway } from '../start-gateway.ts';

export const ID = 'iabcdefghij0123456789';

/** An HTTP server on an address of its own on loopback, as the guest of a sandbox. */
export async function startGuest(listener: RequestListener) {
  const server = createServer(listener);
  const port = await listen(server);
  return { server, port, [Symbol.asyncDispose]: () => close(server) };
}

/** The same for a guest that does not quite speak HTTP. */
export async function startRawGuest(onConnection: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(0, '127.0.0.2');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** A gateway that knows one sandbox, whose guest is 127.0.0.2. */
export async function startTestGateway(
  route: Partial<RunningRoute> = {},
  options: Partial<GatewayOptions> = {},
) {
  const known = new Map<string, SandboxRoute>([
    [ID, { sandboxId: ID, state: 'running', address: '127.0.0.2', envdPort: 49983, ...route }],
  ]);
  const gateway = await startGateway({
    listen: { host: '127.0.0.1', port: 0 },
    resolve: (id) => known.get(id),
    dialLoopback: async () => undefined,
    ...options,
  });
  return { ...gateway, known, port: gateway.address.port, [Symbol.asyncDispose]: () => gateway.close() };
}

export const to = (port: number, sandboxId = ID) => ({
  'E2b-Sandbox-Id': sandboxId,
  'E2b-Sandbox-Port': String(port),
});

/** Begins a request and resolves with its answer, of which nothing has been read. */
export function send(
  gatewayPort: number,
  options: {
    method?: string;
    path?: string;
    headers?: Record<string, string> | string[];
    body?: string;
    agent?: Agent;
    signal?: AbortSignal;
  },
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { body, agent = new Agent({ keepAlive: false }), ...rest } = options;
    const ask = request({ host: '127.0.0.1', port: gatewayPort, agent, ...rest });
    ask.on('response', resolve);
    ask.on('error', reject);
    ask.end(body);
  });
}

export async function read(response: IncomingMessage) {
  const body = await text(response);
  return { status: response.statusCode, headers: response.headers, body };
}

/** Writes bytes to the gateway and reads until it closes, or until `enough` of the answer is there. */
export async function sendRaw(
  gatewayPort: number,
  bytes: string,
  enough: (answer: string) => boolean = () => false,
): Promise<string> {
  const socket = connect(gatewayPort, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  let answer = '';
  for await (const chunk of socket) {
    answer += chunk;
    if (enough(answer)) break;
  }
  socket.destroy();
  return answer;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.2');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
}
