import type { TerminalSize } from '@sandbox-backend/sdk';

/** The size of the terminal that a stream writes to; the usual 80 × 24 when it is none. */
export const terminalSize = (stream: { columns?: number; rows?: number }): TerminalSize => ({
  cols: stream.columns || 80,
  rows: stream.rows || 24,
});
