/**
 * The life of a sandbox. `gone` ended (killed, timed out, powered off, crashed); `failed` never ran.
 * Only `running` and the states around `paused` are visible to clients.
 */
export const STATES = [
  'starting',
  'running',
  'pausing',
  'paused',
  'resuming',
  'killing',
  'gone',
  'failed',
] as const;

export type SandboxState = (typeof STATES)[number];

/** From each state to those that may follow; every update of a row is a compare-and-set on this table. */
export const TRANSITIONS: Record<SandboxState, readonly SandboxState[]> = {
  starting: ['running', 'killing', 'failed'],
  running: ['pausing', 'killing', 'gone'],
  pausing: ['paused', 'running', 'killing', 'gone'],
  paused: ['resuming', 'killing'],
  resuming: ['running', 'paused', 'killing', 'gone'],
  killing: ['gone'],
  gone: [],
  failed: [],
};

/** The two states that clients know; undefined for what they do not see. */
export function visibleState(state: SandboxState): 'running' | 'paused' | undefined {
  switch (state) {
    case 'running':
    case 'pausing':
      return 'running';
    case 'paused':
    case 'resuming':
      return 'paused';
    default:
      return undefined;
  }
}

export const isTransition = (from: SandboxState, to: SandboxState) => TRANSITIONS[from].includes(to);

/** States that hold a place on the host. */
export const LIVE_STATES: readonly SandboxState[] = STATES.filter((state) => TRANSITIONS[state].length > 0);

export const statesSeenAs = (visible: readonly ('running' | 'paused')[]): SandboxState[] =>
  STATES.filter((state) => {
    const seen = visibleState(state);
    return seen !== undefined && visible.includes(seen);
  });
