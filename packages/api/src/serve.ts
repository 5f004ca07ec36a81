import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { listen } from '@sandbox-backend/kit';
import type { Hono } from 'hono';

export type Listen = { host: string; port: number };

export type ApiServer = { address: AddressInfo; close(): Promise<void> };

/** Serves the API over HTTP. Errors: `failed_precondition` when the address is in use or not this host's. */
export async function serveApi(app: Hono, at: Listen): Promise<ApiServer> {
  const server = createServer(
    // A client keeps its connections longer than it waits between two calls.
    { keepAliveTimeout: 75_000, headersTimeout: 30_000, requestTimeout: 300_000 },
    getRequestListener(app.fetch, { overrideGlobalObjects: false }),
  );
  const address = await listen(server, { ...at, name: 'the API', setting: 'SANDBOX_API_LISTEN' });
  return {
    address,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
