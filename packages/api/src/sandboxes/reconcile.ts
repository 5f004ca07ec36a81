import type { SandboxState } from './state.ts';

export type Recorded = { id: string; state: SandboxState };

export type Action =
  /** Ends the machine on the node. */
  | { do: 'stop'; id: string }
  /** Sets the row from the state that was seen to its new one. */
  | { do: 'mark'; id: string; from: SandboxState; to: SandboxState; reason: string };

/**
 * What makes rows and machines agree after a restart: the rows say what was wanted, the node's
 * list what there is. Pure; in the answer a machine is stopped before its row is let go.
 */
export function reconcile(recorded: readonly Recorded[], reported: ReadonlySet<string>): Action[] {
  const rows = new Map(recorded.map((row) => [row.id, row]));
  const strays = [...reported].filter((id) => !rows.has(id)).map((id): Action => ({ do: 'stop', id }));
  return [...strays, ...recorded.flatMap((row) => settle(row, reported.has(row.id)))];
}

function settle({ id, state }: Recorded, runs: boolean): Action[] {
  const stop: Action[] = runs ? [{ do: 'stop', id }] : [];
  const mark = (to: SandboxState, reason: string): Action => ({ do: 'mark', id, from: state, to, reason });
  switch (state) {
    case 'running':
      return runs ? [] : [mark('gone', 'was not found after a restart of the server')];
    case 'starting': // its client has no answer and never will
      return [...stop, mark('failed', 'the server was restarted')];
    case 'killing':
      return [...stop, mark('gone', 'killed')];
    case 'pausing': // while it still runs, the pause has not happened
      return runs ? [mark('running', '')] : [mark('gone', 'the server was restarted during a pause')];
    case 'resuming': // what it is resumed from is still there
      return [...stop, mark('paused', '')];
    case 'paused':
    case 'gone':
    case 'failed':
      return stop;
  }
}
