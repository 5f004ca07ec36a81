import type { Call, LogLine } from '@sandbox-backend/protocol';
import type { SandboxDeps } from './deps.ts';
import { noSuchSandbox } from './find.ts';

export type LogQuery = {
  limit: number;
  /** Unix milliseconds: the oldest wanted, or in `backward` order the newest. */
  cursor?: number | undefined;
  direction: 'forward' | 'backward';
  /** This and more severe. */
  level?: LogLine['level'] | undefined;
  search?: string | undefined;
};

const SEVERITY: readonly LogLine['level'][] = ['debug', 'info', 'warn', 'error'];
/** The node keeps a bounded log; this is more than it keeps. */
const ALL = 10_000;

/** Also of a sandbox that has ended, as long as its row is kept. Errors: `not_found`, and those of the node. */
export async function sandboxLogs(
  call: Call,
  deps: Pick<SandboxDeps, 'rows' | 'node'>,
  teamId: string,
  id: string,
  query: LogQuery,
): Promise<LogLine[]> {
  if (deps.rows.find(id)?.teamId !== teamId) throw noSuchSandbox(id);
  return selectLines(await deps.node.logs(call, id, { limit: ALL }), query);
}

/** Picks from lines that come oldest first. */
export function selectLines(lines: readonly LogLine[], query: LogQuery): LogLine[] {
  const { cursor, direction, level, search } = query;
  const wanted = lines.filter((line) => {
    const at = Date.parse(line.timestamp);
    return (
      (cursor === undefined || (direction === 'forward' ? at >= cursor : at <= cursor)) &&
      (level === undefined || SEVERITY.indexOf(line.level) >= SEVERITY.indexOf(level)) &&
      (search === undefined || line.message.includes(search))
    );
  });
  return (direction === 'forward' ? wanted : wanted.reverse()).slice(0, query.limit);
}
