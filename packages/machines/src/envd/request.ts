import { type Agent, request as httpRequest } from 'node:http';
import { SandboxError } from '@sandbox-backend/protocol';

export const ENVD_PORT = 49983;

export type EnvdRequest = {
  method: 'GET' | 'POST';
  path: string;
  accessToken?: string | undefined;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is; the content type is among `headers`. */
  rawBody?: Buffer;
  signal: AbortSignal;
  agent?: Agent;
  /** How long to wait for the connection; a guest that is still booting drops the first packets. */
  connectTimeoutMs?: number;
};

export type EnvdResponse = { status: number; body: Buffer };

/** A guest is hostile: its answer is bounded. */
const MAX_RESPONSE_BYTES = 8 * 1024 * 1024;

/** One HTTP exchange with the envd at `address`; rejects with the socket's error when nothing answers. */
export function requestEnvd(address: string, options: EnvdRequest): Promise<EnvdResponse> {
  return new Promise((resolve, reject) => {
    const payload =
      options.rawBody ?? (options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body)));
    const request = httpRequest(
      {
        host: address,
        port: ENVD_PORT,
        method: options.method,
        path: options.path,
        signal: options.signal,
        ...(options.agent ? { agent: options.agent } : {}),
        headers: {
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': payload.length }),
          ...(options.accessToken ? { 'x-access-token': options.accessToken } : {}),
          ...options.headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_RESPONSE_BYTES) request.destroy(new Error('envd answered more than 8 MiB'));
          else chunks.push(chunk);
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
        response.on('error', reject);
      },
    );
    if (options.connectTimeoutMs !== undefined) boundConnect(request, options.connectTimeoutMs);
    request.on('error', reject);
    request.end(payload);
  });
}

function boundConnect(request: ReturnType<typeof httpRequest>, timeoutMs: number): void {
  request.on('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => request.destroy(new Error('connect timeout')), timeoutMs);
    socket.once('connect', () => clearTimeout(timer));
    socket.once('close', () => clearTimeout(timer));
  });
}

/** Turns an answer that is not 2xx into an error that says what envd said. */
export function checkEnvd(response: EnvdResponse, what: string): EnvdResponse {
  if (response.status >= 200 && response.status < 300) return response;
  throw new SandboxError('internal', `envd refused ${what} with status ${response.status}`, {
    log: response.body.toString('utf8').slice(0, 2000),
  });
}
