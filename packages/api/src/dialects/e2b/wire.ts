import type { LogLine, SandboxMetrics, TemplateInfo } from '@sandbox-backend/protocol';
import type { SandboxRow } from '../../db/sandboxes.ts';
import type { SnapshotRow } from '../../db/snapshots.ts';
import { visibleState } from '../../sandboxes/state.ts';

// Our records in the field names of the protocol.

/** Required by the protocol and without a meaning for years. */
const CLIENT_ID = 'local';

const time = (ms: number) => new Date(ms).toISOString();

/** The answer to create and connect. */
export const sandboxJson = (row: SandboxRow, domain: string | undefined) => ({
  templateID: row.template,
  alias: row.template,
  sandboxID: row.id,
  clientID: CLIENT_ID,
  envdVersion: row.envdVersion,
  ...(row.accessToken && { envdAccessToken: row.accessToken }),
  trafficAccessToken: row.trafficToken ?? null,
  domain: domain ?? null,
});

export const listedSandboxJson = (row: SandboxRow) => ({
  templateID: row.template,
  alias: row.template,
  sandboxID: row.id,
  clientID: CLIENT_ID,
  startedAt: time(row.startedAt),
  endAt: time(row.endAt),
  cpuCount: row.vcpus,
  memoryMB: row.memoryMib,
  diskSizeMB: row.diskMib,
  state: visibleState(row.state),
  envdVersion: row.envdVersion,
  metadata: row.metadata,
});

export const sandboxDetailJson = (row: SandboxRow, domain: string | undefined) => ({
  ...listedSandboxJson(row),
  ...(row.accessToken && { envdAccessToken: row.accessToken }),
  // For clients whose path is all that they can send: what follows the door's address.
  ...(row.pathToken && { pathAddress: `${row.id}.${row.pathToken}` }),
  domain: domain ?? null,
  allowInternetAccess: row.allowInternet,
  network: {
    allowPublicTraffic: row.trafficToken === undefined,
    ...(!row.allowInternet && { denyOut: ['0.0.0.0/0'] }),
    ...(row.maskRequestHost && { maskRequestHost: row.maskRequestHost }),
  },
  lifecycle: { autoResume: false, onTimeout: 'kill' },
});

export const metricJson = (metrics: SandboxMetrics) => ({
  timestamp: time(metrics.timestampUnix * 1000),
  ...metrics,
});

export const logEntryJson = ({ timestamp, level, message }: LogLine) => ({
  timestamp,
  level,
  message,
  fields: {},
});

/** The CLI reads each line as JSON with these fields. */
export const logLineJson = ({ timestamp, level, message }: LogLine) => ({
  timestamp,
  line: JSON.stringify({ timestamp, level, logger: 'sandbox', message }),
});

const named = ({ name }: TemplateInfo) => ({
  templateID: name,
  public: false,
  aliases: [name],
  names: [name],
});

/** Nothing counts how often a template is used. */
const use = { lastSpawnedAt: null, spawnCount: 0 };

const built = ({ manifest }: TemplateInfo) => ({
  buildID: manifest.buildId,
  cpuCount: manifest.vcpus,
  memoryMB: manifest.memoryMib,
  diskSizeMB: manifest.diskMib,
  envdVersion: manifest.envdVersion,
  createdAt: manifest.createdAt,
  updatedAt: manifest.createdAt,
});

export const templateJson = (template: TemplateInfo) => ({
  ...named(template),
  ...built(template),
  ...use,
  createdBy: null,
  buildCount: template.buildCount,
  buildStatus: 'ready',
});

export const templateWithBuildsJson = (template: TemplateInfo) => ({
  ...named(template),
  ...use,
  createdAt: template.manifest.createdAt,
  updatedAt: template.manifest.createdAt,
  builds: [{ ...built(template), finishedAt: template.manifest.createdAt, status: 'ready' }],
});

/** The only tag that there is; clients want one in an id. */
const TAG = ':default';

export const snapshotName = (reference: string) =>
  reference.endsWith(TAG) ? reference.slice(0, -TAG.length) : reference;

export const snapshotJson = (row: SnapshotRow) => ({
  snapshotID: `${row.name}${TAG}`,
  names: [`${row.name}${TAG}`],
  sandboxID: row.sandboxId,
  createdAt: time(row.createdAt),
});
