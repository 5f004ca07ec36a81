import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Hono } from 'hono';

export type Listen = { host: string; port: number };

export type ApiServer = { address: AddressInfo; close(): Promise<void> };

/** Serves the API over HTTP. Errors: `failed_precondition` when the address is in use or not this host's. */
export async function serveApi(app: Hono, listen: Listen): Promise<ApiServer> {
  const server = createServer(
    // A client keeps its connections longer than it waits between two calls.
    { keepAliveTimeout: 75_000, headersTimeout: 30_000, requestTimeout: 300_000 },
    getRequestListener(app.fetch, { overrideGlobalObjects: false }),
  );
  server.listen(listen.port, listen.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on (${code})`;
    throw new SandboxError(
      'failed_precondition',
      `The address ${listen.host}:${listen.port} of the API ${why}`,
      {
        cause,
        hint: 'Set SANDBOX_API_LISTEN to another address, or end the process that uses this one.',
      },
    );
  }
  return {
    address: server.address() as AddressInfo,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
