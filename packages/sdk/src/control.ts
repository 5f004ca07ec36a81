import {
  checkSandboxId,
  type Deactivation,
  type NodeInfo,
  type Orphan,
  type RunningSandbox,
  SandboxError,
} from '@sandbox-backend/protocol';
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
  /** First segment of its paths on the data plane of the seed's clients; as secret as a token. */
  pathAddress?: string;
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
  /** An id of the caller's; the server's own when left out. */
  sandboxId?: string;
  /** Only recorded, for clients of the seed's protocol: every snapshot is whole. */
  diffSnapshots?: boolean;
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

export type SnapshotListing = {
  /** `name:default`; sandboxes are started from it like from a template. */
  snapshotID: string;
  names: string[];
  sandboxID: string;
  createdAt: string;
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
  sandboxes?: (Pick<RunningSandbox, 'sandboxId' | 'address' | 'pid'> & {
    slotIndex?: number;
    diffSnapshots?: boolean;
  })[];
};

/** Where the SSH door is, and the key by which it is known, as in a known_hosts file. */
export type SshDoor = { host: string; port: number; hostKey: string };

export type SshKey = { id: string; name: string; publicKey: string; fingerprint: string; createdAt: string };

/** Longer than any create of a working server takes, short enough that nobody waits for a dead one all day. */
const REQUEST_TIMEOUT_MS = 180_000;
/** A snapshot copies memory and disk. */
const SNAPSHOT_TIMEOUT_MS = 11 * 60_000;
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
      {
        ...(spec.cold && { 'x-sandbox-cold': '1' }),
        ...(spec.diffSnapshots && { 'x-sandbox-diff-snapshots': '1' }),
        ...(spec.sandboxId !== undefined && { 'x-sandbox-id': checkSandboxId(spec.sandboxId) }),
      },
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
    const query = new URLSearchParams({ state: filter.states.join(',') });
    // The protocol encodes this value twice: as pairs, and then as a part of the query.
    if (filter.metadata) query.set('metadata', new URLSearchParams(filter.metadata).toString());
    return this.sendForPages<SandboxInfo>('/v2/sandboxes', query);
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

  /** Gives memory of an idle sandbox back to the host. Errors: `not_found`. */
  async deactivateSandbox(id: string): Promise<Deactivation & { reclaimedBytes: number }> {
    return (
      await this.send<Deactivation & { reclaimedBytes: number }>('POST', `${sandboxPath(id)}/deactivate`)
    ).body;
  }

  /** The sandbox stands still meanwhile. Errors: `not_found`, `already_exists` (the name is a template's). */
  async createSnapshot(id: string, name?: string): Promise<SnapshotListing> {
    const message = name === undefined ? {} : { name };
    return (
      await this.send<SnapshotListing>(
        'POST',
        `${sandboxPath(id)}/snapshots`,
        message,
        {},
        SNAPSHOT_TIMEOUT_MS,
      )
    ).body;
  }

  /** Newest first. */
  async listSnapshots(filter: { sandboxId?: string } = {}): Promise<SnapshotListing[]> {
    const query = new URLSearchParams(filter.sandboxId === undefined ? {} : { sandboxID: filter.sandboxId });
    return this.sendForPages<SnapshotListing>('/snapshots', query);
  }

  /** Machines of the host that nobody looks after. Errors: `permission_denied` for all but the operator. */
  async listOrphans(): Promise<Orphan[]> {
    return (await this.send<Orphan[]>('GET', '/node/orphans')).body;
  }

  /** Ends all orphans, or those named; the ids of those that are gone. Errors: `not_found` for what is no orphan. */
  async purgeOrphans(sandboxIds?: readonly string[]): Promise<string[]> {
    const message = sandboxIds === undefined ? {} : { sandboxIds };
    return (await this.send<{ purged: string[] }>('POST', '/node/orphans/purge', message)).body.purged;
  }

  async recreateCgroup(): Promise<void> {
    await this.send('POST', '/node/cgroup/recreate');
  }

  /** Errors: `failed_precondition` while something uses the slot. */
  async cleanNetwork(slotIndex: number): Promise<void> {
    await this.send('DELETE', `/node/networks/${slotIndex}`);
  }

  async listTemplates(): Promise<TemplateListing[]> {
    return (await this.send<TemplateListing[]>('GET', '/templates')).body;
  }

  /** Of a template or a snapshot. Errors: `not_found`, `failed_precondition` while a sandbox runs from it. */
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

  private async sendForPages<Row>(path: string, query: URLSearchParams): Promise<Row[]> {
    const found: Row[] = [];
    query.set('limit', String(PAGE));
    for (;;) {
      const { body, headers } = await this.send<Row[]>('GET', `${path}?${query}`);
      found.push(...body);
      const nextToken = headers['x-next-token'];
      if (typeof nextToken !== 'string' || nextToken === '') return found;
      query.set('nextToken', nextToken);
    }
  }

  private async send<Body>(
    method: NonNullable<RequestOptions['method']>,
    path: string,
    message?: unknown,
    extraHeaders: Record<string, string> = {},
    timeoutMs = REQUEST_TIMEOUT_MS,
  ) {
    const body = message === undefined ? undefined : Buffer.from(JSON.stringify(message));
    const deadline = AbortSignal.timeout(timeoutMs);
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
