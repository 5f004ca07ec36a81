import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Orphan } from '@sandbox-backend/protocol';
import { FakeEnvd } from './fake-envd.ts';
import { send, text } from './http.ts';

export type FakeSandbox = {
  sandboxID: string;
  templateID: string;
  state: string;
  startedAt: string;
  endAt: string;
  metadata: Record<string, string>;
  diffSnapshots: boolean;
};

/**
 * A server without machines: the REST API and the data plane on two ports, as far as the CLI speaks
 * to them. Programs that a "sandbox" runs are processes of this machine, and its files lie in a
 * temporary folder, so that output, signals, input and statuses are real.
 */
export class FakeBackend implements AsyncDisposable {
  readonly apiKey = 'e2b_0123456789abcdef';
  readonly sandboxes = new Map<string, FakeSandbox>();
  /** By name, the sandbox that each was made from. */
  readonly snapshots = new Map<string, string>();
  orphans: Orphan[] = [];
  /** Every request to the REST API, as method, path and body. */
  readonly requests: { method: string; url: string; body: unknown; headers: IncomingMessage['headers'] }[] =
    [];
  readonly envd: FakeEnvd;
  readonly logs: { timestamp: string; level: string; message: string }[] = [];
  /** When set, creates beyond this number fail. */
  capacity = 1000;
  pageSize = 100;
  /** Called before each request to the REST API is answered. */
  onRequest: (url: string) => void = () => {};
  private readonly servers: ReturnType<typeof createServer>[] = [];
  private made = 0;
  apiUrl = '';
  sandboxUrl = '';

  private constructor(envd: FakeEnvd) {
    this.envd = envd;
  }

  static async start(): Promise<FakeBackend> {
    const backend = new FakeBackend(await FakeEnvd.make());
    backend.apiUrl = await backend.listen((request, response) => backend.answer(request, response));
    backend.sandboxUrl = await backend.listen((request, response) => backend.passOn(request, response));
    return backend;
  }

  /** Where the CLI finds this backend, without anything of the machine's own. */
  get env(): NodeJS.ProcessEnv {
    return {
      PATH: process.env.PATH,
      SANDBOX_DATA_ROOT: '/nonexistent',
      E2B_API_URL: this.apiUrl,
      E2B_SANDBOX_URL: this.sandboxUrl,
      E2B_API_KEY: this.apiKey,
    };
  }

  addSandbox(fields: Partial<FakeSandbox> = {}): string {
    this.made += 1;
    const sandboxID = fields.sandboxID ?? `i${String(this.made).padStart(4, '0')}${'x'.repeat(16)}`;
    const startedAt = new Date(Date.now() + this.made).toISOString();
    const endAt = new Date(Date.now() + 300_500).toISOString();
    const given = {
      templateID: 'default-sandbox',
      state: 'running',
      startedAt,
      endAt,
      metadata: {},
      diffSnapshots: false,
    };
    this.sandboxes.set(sandboxID, { ...given, ...fields, sandboxID });
    return sandboxID;
  }

  async [Symbol.asyncDispose]() {
    await this.envd[Symbol.asyncDispose]();
    for (const server of this.servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  private listen(handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
    const server = createServer((request, response) => {
      handle(request, response).catch((error: unknown) => {
        if (response.headersSent)
          response.destroy(); // the client went while it was answered
        else send(response, 500, { code: 500, message: String(error) });
      });
    });
    this.servers.push(server);
    return new Promise<string>((resolve) => {
      server.listen(0, '127.0.0.1', () =>
        resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      );
    });
  }

  private async answer(request: IncomingMessage, response: ServerResponse) {
    const body = await text(request);
    const { method = '', url = '' } = request;
    const { pathname, searchParams } = new URL(url, 'http://fake');
    this.requests.push({ method, url, body: body ? JSON.parse(body) : undefined, headers: request.headers });
    this.onRequest(url);
    if (request.headers['x-api-key'] !== this.apiKey) {
      return send(response, 401, {
        code: 401,
        message: 'The key is not valid',
        error_code: 'unauthenticated',
      });
    }
    const [, id = '', rest = ''] = /^(?:\/v2)?\/sandboxes\/([^/]+)(\/.*)?$/.exec(pathname) ?? [];
    if (method === 'POST' && pathname === '/v2/sandboxes') {
      return this.create(JSON.parse(body), request.headers, response);
    }
    if (method === 'GET' && pathname === '/v2/sandboxes') return this.list(searchParams, response);
    if (method === 'GET' && pathname === '/status') return send(response, 200, this.status());
    if (method === 'GET' && pathname === '/templates') return send(response, 200, [TEMPLATE]);
    if (method === 'DELETE' && pathname === '/templates/default-sandbox') return send(response, 204);
    if (method === 'GET' && pathname === '/snapshots') return this.listSnapshots(searchParams, response);
    const [, snapshot = ''] = /^\/templates\/([^/]+)$/.exec(pathname) ?? [];
    if (method === 'DELETE' && this.snapshots.delete(snapshot)) return send(response, 204);
    if (pathname.startsWith('/node/')) return this.answerForHost(`${method} ${pathname}`, body, response);
    const sandbox = this.sandboxes.get(id);
    if (!sandbox) return send(response, 404, { code: 404, message: `Nothing is at ${pathname}` });
    if (method === 'DELETE') {
      this.sandboxes.delete(id);
      return send(response, 204);
    }
    if (rest === '')
      return send(response, 200, {
        ...this.wire(sandbox),
        envdAccessToken: this.envd.accessToken,
        pathAddress: `${id}.secret`,
      });
    if (rest === '/connect') {
      sandbox.state = 'running';
      return send(response, 200, this.wire(sandbox));
    }
    if (rest === '/snapshots') {
      const name = JSON.parse(body).name ?? `snapshot-${this.snapshots.size + 1}`;
      this.snapshots.set(name, id);
      return send(response, 201, snapshotJson(name, id));
    }
    if (rest === '/deactivate') return send(response, 200, DEACTIVATION);
    if (rest === '/metrics') return send(response, 200, [METRIC]);
    if (rest === '/logs') return send(response, 200, { logs: this.selectLogs(searchParams) });
    send(response, 404, { code: 404, message: `Nothing is at ${pathname}` });
  }

  private create(
    body: { templateID: string; metadata?: Record<string, string> },
    headers: IncomingMessage['headers'],
    response: ServerResponse,
  ) {
    if (body.templateID !== 'default-sandbox' && !this.snapshots.has(body.templateID)) {
      const message = `template '${body.templateID}' not found\nBuild it first.`;
      return send(response, 404, { code: 404, message, error_code: 'not_found' });
    }
    if (this.sandboxes.size >= this.capacity) {
      const message = 'This host is full';
      return send(response, 429, { code: 429, message, error_code: 'resource_exhausted' });
    }
    const chosen = headers['x-sandbox-id'];
    const sandboxID = this.addSandbox({
      templateID: body.templateID,
      metadata: body.metadata ?? {},
      diffSnapshots: headers['x-sandbox-diff-snapshots'] === '1',
      ...(typeof chosen === 'string' && { sandboxID: chosen }),
    });
    response.setHeader('Server-Timing', 'slot;dur=1.50, restore;dur=40.00, total;dur=45.00');
    send(response, 201, {
      ...this.wire(this.sandboxes.get(sandboxID)!),
      envdAccessToken: this.envd.accessToken,
    });
  }

  private list(query: URLSearchParams, response: ServerResponse) {
    const states = (query.get('state') ?? 'running,paused').split(',');
    const wanted = [...new URLSearchParams(query.get('metadata') ?? '')];
    const all = [...this.sandboxes.values()].filter(
      ({ state, metadata }) =>
        states.includes(state) && wanted.every(([key, value]) => metadata[key] === value),
    );
    const from = Number(query.get('nextToken') ?? 0);
    if (from + this.pageSize < all.length) response.setHeader('X-Next-Token', String(from + this.pageSize));
    send(
      response,
      200,
      all.slice(from, from + this.pageSize).map((sandbox) => this.wire(sandbox)),
    );
  }

  private listSnapshots(query: URLSearchParams, response: ServerResponse) {
    const from = Number(query.get('nextToken') ?? 0);
    const of = query.get('sandboxID');
    const all = [...this.snapshots].filter(([, sandboxID]) => of === null || of === sandboxID);
    if (from + this.pageSize < all.length) response.setHeader('X-Next-Token', String(from + this.pageSize));
    send(
      response,
      200,
      all.slice(from, from + this.pageSize).map(([name, sandboxID]) => snapshotJson(name, sandboxID)),
    );
  }

  private answerForHost(call: string, body: string, response: ServerResponse) {
    if (call === 'GET /node/orphans') return send(response, 200, this.orphans);
    if (call === 'POST /node/cgroup/recreate') return send(response, 204);
    if (call === 'DELETE /node/networks/7') {
      const message = 'The slot 7 is in use\nDelete the sandbox first.';
      return send(response, 409, { code: 409, message, error_code: 'failed_precondition' });
    }
    if (call.startsWith('DELETE /node/networks/')) return send(response, 204);
    if (call !== 'POST /node/orphans/purge')
      return send(response, 404, { code: 404, message: `Nothing is at ${call}` });
    const { sandboxIds } = JSON.parse(body) as { sandboxIds?: string[] };
    const ids = this.orphans.map(({ sandboxId }) => sandboxId);
    const missing = sandboxIds?.find((id) => !ids.includes(id));
    if (missing !== undefined) {
      const message = `There is no orphan ${missing}; nothing was purged`;
      return send(response, 404, { code: 404, message, error_code: 'not_found' });
    }
    const purged = sandboxIds ?? ids;
    this.orphans = this.orphans.filter(({ sandboxId }) => !purged.includes(sandboxId));
    send(response, 200, { purged });
  }

  private selectLogs(query: URLSearchParams) {
    const cursor = Number(query.get('cursor') ?? 0);
    const forward = query.get('direction') === 'forward';
    const wanted = this.logs.filter(({ timestamp }) => Date.parse(timestamp) >= cursor);
    return (forward ? wanted : wanted.toReversed()).slice(0, Number(query.get('limit')));
  }

  private status() {
    const sandboxes = [...this.sandboxes.values()].map(({ sandboxID, diffSnapshots }, index) => ({
      sandboxId: sandboxID,
      address: '127.0.0.1',
      pid: process.pid,
      slotIndex: index,
      diffSnapshots,
    }));
    return { pid: process.pid, version: '0', sandboxes };
  }

  private wire({ diffSnapshots: _, ...sandbox }: FakeSandbox) {
    const size = { cpuCount: 2, memoryMB: 512, diskSizeMB: 1024, envdVersion: '0.6.13' };
    return { ...sandbox, clientID: 'fake', alias: sandbox.templateID, ...size };
  }

  private async passOn(request: IncomingMessage, response: ServerResponse) {
    const id = String(request.headers['e2b-sandbox-id']);
    if (this.sandboxes.get(id)?.state !== 'running') {
      return send(response, 502, { sandboxId: id, message: 'The sandbox was not found', code: 502 });
    }
    if (request.headers['e2b-sandbox-port'] !== '49983') {
      const message = 'The sandbox is running but port is not open';
      return send(response, 502, { sandboxId: id, message, code: 502 });
    }
    await this.envd.answer(request, response);
  }
}

const snapshotJson = (name: string, sandboxID: string) => ({
  snapshotID: `${name}:default`,
  names: [`${name}:default`],
  sandboxID,
  createdAt: '2026-01-02T03:04:05Z',
});

const DEACTIVATION = {
  beforeBytes: 100 * 2 ** 20,
  afterBytes: 60 * 2 ** 20,
  reclaimedBytes: 40 * 2 ** 20,
  durationMs: 5,
};

const METRIC = {
  timestampUnix: 1_700_000_000,
  cpuCount: 2,
  cpuUsedPct: 12.5,
  memUsed: 128 * 1024 * 1024,
  memTotal: 512 * 1024 * 1024,
  diskUsed: 0,
  diskTotal: 1024 * 1024 * 1024,
};

const TEMPLATE = {
  templateID: 'default-sandbox',
  names: ['default-sandbox'],
  aliases: ['default-sandbox'],
  buildID: '0b9a2c1e-0000-4000-8000-000000000000',
  cpuCount: 2,
  memoryMB: 512,
  diskSizeMB: 1536,
  createdAt: '2026-01-02T03:04:05Z',
  buildCount: 1,
};
