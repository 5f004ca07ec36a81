export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/**
 * One JSON line per unit of work on standard error: `op` is a dotted noun.verb. Secrets never go in.
 */
export function log(level: LogLevel, op: string, fields: Record<string, unknown> = {}): void {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, op, ...fields })}\n`);
}
