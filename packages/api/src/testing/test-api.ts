import { Operation } from '@sandbox-backend/kit';
import { createKey } from '../auth/keys.ts';
import { type ApiOptions, createApi } from '../create-api.ts';
import { keyRows } from '../db/keys.ts';
import { openDatabase } from '../db/open.ts';
import { serveApi } from '../serve.ts';
import { createFakeNode, type FakeNode } from './fake-node.ts';

/** A whole control plane in memory, on a fake node; disposing of it closes everything. */
export async function openTestApi(options: Partial<ApiOptions> & { node?: FakeNode } = {}) {
  await using held = new AsyncDisposableStack();
  const node = options.node ?? createFakeNode();
  const db = options.db ?? openDatabase(':memory:');
  if (!options.db) held.defer(() => db.close());
  const keys = keyRows(db);
  const team = keys.findTeam('default') ?? { id: 'team-1', name: 'default' };
  if (!keys.findTeam('default')) keys.insertTeam(team, 0);
  const { key } = createKey({ keys, now: Date.now }, team.id, 'test');
  const dropped: string[] = [];
  const api = await createApi(new Operation('open the API', { timeoutMs: 10_000 }), {
    version: '0.0.0-test',
    endConnections: (id) => void dropped.push(id),
    ...options,
    db,
    node,
  });
  held.defer(() => api.close());

  const owned = held.move();
  return {
    ...api,
    db,
    node,
    key,
    team,
    dropped,
    /** Sends a request with the key (unless another is given) and reads the JSON of the answer. */
    async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
      const response = await api.app.request(path, {
        method,
        headers: {
          'X-API-KEY': key,
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        json: text === '' ? undefined : JSON.parse(text),
      };
    },
    /** Listens on a free port of loopback. */
    async serve() {
      const server = await serveApi(api.app, { host: '127.0.0.1', port: 0 });
      owned.defer(() => server.close());
      return `http://127.0.0.1:${server.address.port}`;
    },
    /** A key of another team. */
    strangersKey() {
      keys.insertTeam({ id: 'team-2', name: 'strangers' }, 0);
      return createKey({ keys, now: Date.now }, 'team-2', 'test').key;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
