import { randomBytes } from 'node:crypto';
import { Operation } from '@sandbox-backend/kit';
import { checkSandboxId, type RunningSandbox, SandboxError } from '@sandbox-backend/protocol';
import type { SandboxRow } from '../db/sandboxes.ts';
import { resolveTemplate } from '../templates/find.ts';
import type { SandboxDeps } from './deps.ts';
import { noSuchSandbox } from './find.ts';
import { checkTimeout } from './timeout.ts';

export type CreateSpec = {
  /** As the user wrote it: `name` or `name:tag`. */
  template: string;
  timeoutSeconds: number;
  metadata: Record<string, string>;
  env: Record<string, string>;
  /** Whether envd asks for a token. */
  secure: boolean;
  allowInternet: boolean;
  /** Whether the guest's ports answer requests without a token. */
  publicTraffic: boolean;
  maskRequestHost?: string | undefined;
  /** Not from a warm machine: for measuring. */
  cold?: boolean | undefined;
  /** Chosen by the client; ours when left out. */
  sandboxId?: string | undefined;
  diffSnapshots?: boolean | undefined;
};

/**
 * Creates a sandbox: records the intent, has the node start it, records the result. The sandbox is
 * usable when this returns, and its time to live counts from then.
 *
 * A kill that comes meanwhile wins. When the operation ends early (its client is gone, its time is
 * over) nothing is left of the sandbox.
 *
 * Errors: `invalid_argument`, `not_found` (template), `already_exists` (a sandbox that lives has the id),
 * `resource_exhausted`, and those of the node.
 */
export function createSandbox(
  op: Operation,
  deps: SandboxDeps,
  teamId: string,
  spec: CreateSpec,
): Promise<SandboxRow> {
  return op.observe('sandbox.create', () => create(op, deps, teamId, spec));
}

async function create(
  op: Operation,
  deps: SandboxDeps,
  teamId: string,
  spec: CreateSpec,
): Promise<SandboxRow> {
  checkTimeout(spec.timeoutSeconds, deps.limits);
  const template = await op.phase('template', () => resolveTemplate(deps, teamId, spec.template));
  const now = deps.now();
  const row: SandboxRow = {
    id: spec.sandboxId === undefined ? deps.newId() : claimId(deps, spec.sandboxId),
    teamId,
    template: template.name,
    buildId: template.manifest.buildId,
    state: 'starting',
    metadata: spec.metadata,
    startedAt: now,
    endAt: now + spec.timeoutSeconds * 1000,
    envdVersion: template.manifest.envdVersion,
    vcpus: template.manifest.vcpus,
    memoryMib: template.manifest.memoryMib,
    diskMib: template.manifest.diskMib,
    allowInternet: spec.allowInternet,
    accessToken: spec.secure ? newToken() : undefined,
    trafficToken: spec.publicTraffic ? undefined : newToken(),
    maskRequestHost: spec.maskRequestHost,
    pathToken: randomBytes(16).toString('hex'),
    diffSnapshots: spec.diffSnapshots ?? false,
  };
  Object.assign(op.attributes, { sandbox: row.id, template: row.template, build: row.buildId, team: teamId });
  if (!deps.rows.insert(row, deps.limits.maxSandboxes)) {
    throw new SandboxError(
      'resource_exhausted',
      `This server runs ${deps.limits.maxSandboxes} sandboxes already`,
      {
        hint: 'Kill one, or raise the limit in its configuration.',
      },
    );
  }

  const { promise: settled, resolve: settle } = Promise.withResolvers<void>();
  const abort = new AbortController();
  deps.starts.set(row.id, { abort, settled });
  try {
    const machine = await start(op, deps, abort.signal, row, spec);
    return await admit(op, deps, row, machine, spec);
  } finally {
    deps.starts.delete(row.id);
    settle();
  }
}

/** The id of one that has ended is free again. */
function claimId(deps: Pick<SandboxDeps, 'rows'>, id: string): string {
  checkSandboxId(id);
  deps.rows.forgetEnded(id);
  if (!deps.rows.find(id)) return id;
  throw new SandboxError('already_exists', `There is a sandbox ${id} already`, {
    hint: 'Choose another id, or kill that sandbox first.',
  });
}

const newToken = () => randomBytes(32).toString('hex');
const DAY_MS = 86_400_000;

async function start(
  op: Operation,
  deps: SandboxDeps,
  killed: AbortSignal,
  row: SandboxRow,
  spec: CreateSpec,
): Promise<RunningSandbox> {
  const call = new Operation(op.name, {
    timeoutMs: DAY_MS, // the deadline is that of `op`
    signal: AbortSignal.any([op.signal, killed]),
    onPhase: (phase) => op.phases.push(phase),
  });
  try {
    return await deps.node.start(call, {
      sandboxId: row.id,
      template: row.template,
      env: spec.env,
      allowInternet: row.allowInternet,
      ...(row.accessToken && { accessToken: row.accessToken }),
      ...(spec.cold && { cold: true }),
    });
  } catch (caught) {
    const error = SandboxError.from(caught);
    // False when a kill came first: it finishes the row.
    deps.rows.move(row.id, ['starting'], 'failed', { endedAt: deps.now(), endReason: error.message });
    throw killed.aborted ? noSuchSandbox(row.id) : error;
  }
}

/** The machine runs: the row follows, unless nobody wants it any more. */
async function admit(
  op: Operation,
  deps: SandboxDeps,
  row: SandboxRow,
  machine: RunningSandbox,
  spec: CreateSpec,
): Promise<SandboxRow> {
  const startedAt = deps.now();
  const change = {
    startedAt,
    endAt: startedAt + spec.timeoutSeconds * 1000,
    buildId: machine.buildId,
    envdVersion: machine.envdVersion,
    vcpus: machine.vcpus,
    memoryMib: machine.memoryMib,
    diskMib: machine.diskMib,
  };
  if (op.signal.aborted) {
    deps.rows.move(row.id, ['starting'], 'killing', { endReason: 'canceled' });
    await deps.node.stop(new Operation('stop an unwanted sandbox', { timeoutMs: 60_000 }), row.id).then(
      () => deps.rows.move(row.id, ['killing'], 'gone', { endedAt: deps.now() }),
      () => deps.wakeReaper(), // which tries again
    );
    return op.phase('admit', () => row); // throws what ended the operation
  }
  if (!deps.rows.move(row.id, ['starting'], 'running', change)) {
    await deps.node.stop(new Operation('stop a killed sandbox', { timeoutMs: 60_000 }), row.id);
    throw noSuchSandbox(row.id);
  }
  // A machine that died between its answer and the line above had no running row to end.
  if (!deps.node.find(row.id)) {
    deps.rows.move(row.id, ['running'], 'gone', { endedAt: deps.now(), endReason: 'crashed' });
    throw new SandboxError('unavailable', `The sandbox ${row.id} ended as soon as it had started`, {
      hint: 'Try again; the log of the server has the reason.',
    });
  }
  deps.wakeReaper();
  return { ...row, ...change, state: 'running' };
}
