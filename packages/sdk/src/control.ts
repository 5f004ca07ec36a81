import { checkSandboxId, type NodeInfo, type RunningSandbox, SandboxError } from '@sandbox-backend/protocol';
import type { Connection } from './connection.ts';
import { type RequestOptions, readText, request } from './http.ts';
import { errorFromResponse } from './response-error.ts';
import { parseServerTiming } from './server-timing.ts';

/** A sandbox as the REST API tells of it; names are those of the wire. */
export type SandboxInfo = {
  sandboxID: string;
  templateID: string;
  alias?: string;
  state: string;
  startedAt: string;
  endAt?: string;
  cpuCount: number;
  memoryMB: number;
  diskSizeMB: number;
  envdVersion: string;
  envdAccessToken?: string;
  metadata?: Record<string, string>;
};

export type NewSandbox = {
  template: string;
  /** Seconds until the server ends it; undefined is the server's default. */
  timeoutSeconds?: number | undefined;
  metadata?: Record<string, string>;
  env?: Record<string, string>;
  allowInternet?: boolean;
  /** Asks the server not to use a machine that it has started in advance. */
  cold?: boolean;
};

export type CreatedSandbox = {
  sandboxId: string;
  accessToken: string | undefined;
  /** Milliseconds by phase, as the server measured them. */
  phases: Record<string, number>;
};

export type TemplateListing = {
  templateID: string;
  buildID?: string;
  names?: string[];
  aliases?: string[];
  cpuCount?: number;
  memoryMB?: number;
  diskSizeMB?: number;
  createdAt?: string;
  updatedAt?: string;
  buildCount?: number;
  envdVersion?: string;
};

export type SandboxMetric = {
  timestampUnix: number;
  cpuCount: number;
  cpuUsedPct: number;
  memUsed: number;
  memTotal: number;
  memCache?: number;
  diskUsed: number;
  diskTotal: number;
};

export type SandboxLogEntry = { timestamp: string; level: string; message: string };

export type ServerStatus = {
  pid?: number;
  version?: string;
  node?: NodeInfo;
  /** Where this server listens, by door. */
  ports?: Record<string, string>;
  sandboxes?: Pick<RunningSandbox, 'sandboxId' | 'address' | 'pid'>[];
};

/** Where the SSH door is, and the key by which it is known, as in a known_hosts file. */
export type SshDoor = { host: string; port: number; hostKey: string };

export type SshKey = { id: string; name: string; publicKey: string; fingerprint: string; createdAt: string };

/** Longer than any create of a working server takes, short enough that nobody waits for a dead one all day. */
const REQUEST_TIMEOUT_MS = 180_000;
const PAGE = 100;

/** The longest life that the protocol can say (int32), 68 years: for a sandbox that is never to end. */
export const LONGEST_TIMEOUT_SECONDS = 2 ** 31 - 1;

/** The REST API of one server. */
export class Control {
  private readonly connection: Connection;
  private readonly signal: AbortSignal | undefined;

  constructor(connection: Connection, options: { signal?: AbortSignal } = {}) {
    this.connection = connection;
    this.signal = options.signal;
  }

  /** Resolves when the sandbox can be used. */
  async createSandbox(spec: NewSandbox): Promise<CreatedSandbox> {
    const { body, headers } = await this.send<{ sandboxID: string; envdAccessToken?: string }>(
      'POST',
      '/v2/sandboxes',
      {
        templateID: spec.template,
        ...(spec.timeoutSeconds !== undefined && { timeout: spec.timeoutSeconds }),
        ...(spec.metadata && { metadata: spec.metadata }),
        ...(spec.env && { envVars: spec.env }),
        ...(spec.allowInternet === false && { allow_internet_access: false }),
      },
      spec.cold ? { 'x-sandbox-cold': '1' } : {},
    );
    return {
      sandboxId: checkSandboxId(body.sandboxID),
      accessToken: body.envdAccessToken,
      phases: parseServerTiming(headers['server-timing'] as string | undefined),
    };
  }

  /** Every sandbox in one of the states, newest first. */
  async listSandboxes(
    filter: { states: readonly string[]; metadata?: Record<string, string> } = { states: ['running'] },
  ): Promise<SandboxInfo[]> {
    const found: SandboxInfo[] = [];
    let nextToken: string | undefined;
    do {
      const query = new URLSearchParams({ state: filter.states.join(','), limit: String(PAGE) });
      // The protocol encodes this value twice: as pairs, and then as a part of the query.
      if (filter.metadata) query.set('metadata', new URLSearchParams(filter.metadata).toString());
      if (nextToken) query.set('nextToken', nextToken);
      const { body, headers } = await this.send<SandboxInfo[]>('GET', `/v2/sandboxes?${query}`);
      found.push(...body);
      nextToken = (headers['x-next-token'] as string | undefined) || undefined;
    } while (nextToken);
    return found;
  }

  async getSandbox(id: string): Promise<SandboxInfo> {
    return (await this.send<SandboxInfo>('GET', sandboxPath(id))).body;
  }

  /** Extends the sandbox's life as the server sees fit, and wakes it when it is paused. */
  async connectSandbox(id: string): Promise<void> {
    await this.send('POST', `/v2${sandboxPath(id)}/connect`, {});
  }

  /** False when there was none. */
  async killSandbox(id: string): Promise<boolean> {
    try {
      await this.send('DELETE', sandboxPath(id));
      return true;
    } catch (caught) {
      if (caught instanceof SandboxError && caught.code === 'not_found') return false;
      throw caught;
    }
  }

  async sandboxMetrics(id: string): Promise<SandboxMetric[]> {
    return (await this.send<SandboxMetric[]>('GET', `${sandboxPath(id)}/metrics`)).body;
  }

  /** At most 1000 lines, oldest first: from `startMs` (Unix time) on, or the last ones. */
  async sandboxLogs(id: string, range: { startMs?: number; limit: number }): Promise<SandboxLogEntry[]> {
    const forward = range.startMs !== undefined;
    const query = new URLSearchParams({
      limit: String(range.limit),
      direction: forward ? 'forward' : 'backward',
      ...(forward && { cursor: String(range.startMs) }),
    });
    const { body } = await this.send<{ logs?: SandboxLogEntry[] }>(
      'GET',
      `/v2${sandboxPath(id)}/logs?${query}`,
    );
    const lines = body.logs ?? [];
    return forward ? lines : lines.reverse();
  }

  async listTemplates(): Promise<TemplateListing[]> {
    return (await this.send<TemplateListing[]>('GET', '/templates')).body;
  }

  /** Errors: `not_found`, `failed_precondition` while a sandbox runs from it. */
  async deleteTemplate(name: string): Promise<void> {
    await this.send('DELETE', `/templates/${encodeURIComponent(name)}`);
  }

  /** Undefined when the server has none. */
  async sshDoor(): Promise<SshDoor | undefined> {
    return (await this.send<SshDoor | null>('GET', '/ssh/door')).body ?? undefined;
  }

  async listSshKeys(): Promise<SshKey[]> {
    return (await this.send<SshKey[]>('GET', '/ssh/keys')).body;
  }

  /** Errors: `invalid_argument`, `already_exists`. */
  async addSshKey(publicKey: string): Promise<SshKey> {
    return (await this.send<SshKey>('POST', '/ssh/keys', { publicKey })).body;
  }

  async removeSshKey(id: string): Promise<void> {
    await this.send('DELETE', `/ssh/keys/${encodeURIComponent(id)}`);
  }

  /** A password for one sandbox. */
  async createSshToken(id: string, ttlSeconds?: number): Promise<{ token: string; expiresAt: string }> {
    const body = ttlSeconds === undefined ? {} : { ttlSeconds };
    return (
      await this.send<{ token: string; expiresAt: string }>('POST', `${sandboxPath(id)}/ssh-token`, body)
    ).body;
  }

  /** What the server says of itself; undefined from a server that offers no such page. */
  async status(): Promise<ServerStatus | undefined> {
    try {
      return (await this.send<ServerStatus>('GET', '/status')).body;
    } catch (caught) {
      const absent = ['not_found', 'unimplemented'];
      if (caught instanceof SandboxError && absent.includes(caught.code)) return undefined;
      throw caught;
    }
  }

  private async send<Body>(
    method: NonNullable<RequestOptions['method']>,
    path: string,
    message?: unknown,
    extraHeaders: Record<string, string> = {},
  ) {
    const body = message === undefined ? undefined : Buffer.from(JSON.stringify(message));
    const deadline = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const response = await request(`${this.connection.apiUrl}${path}`, {
      method,
      headers: {
        ...(this.connection.apiKey && { 'X-API-KEY': this.connection.apiKey }),
        ...(body && { 'Content-Type': 'application/json', 'Content-Length': String(body.length) }),
        ...extraHeaders,
      },
      ...(body && { body }),
      signal: this.signal ? AbortSignal.any([this.signal, deadline]) : deadline,
    });
    const status = response.statusCode ?? 0;
    const text = await readText(response);
    if (status < 200 || status > 299) throw errorFromResponse(status, text);
    return { body: parseBody<Body>(path, text), headers: response.headers };
  }
}

const sandboxPath = (id: string) => `/sandboxes/${checkSandboxId(id)}`;

function parseBody<Body>(path: string, text: string): Body {
  if (text === '') return undefined as Body;
  try {
    return JSON.parse(text) as Body;
  } catch (cause) {
    throw new SandboxError('internal', `The answer to ${path} is not JSON`, {
      cause,
      hint: 'Is this the address of a sandbox server? The REST API answers on port 3000 by default.',
    });
  }
}
