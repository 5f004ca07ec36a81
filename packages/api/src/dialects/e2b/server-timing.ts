import type { Operation } from '@sandbox-backend/kit';

/** The phases of an operation as the header that browsers and our CLI show. */
export function serverTiming(op: Operation): string {
  const entries = op.phases.map(
    ({ name, ms }) => `${name.replace(/[^A-Za-z0-9_.-]+/g, '_')};dur=${ms.toFixed(2)}`,
  );
  return [...entries, `total;dur=${op.elapsedMs.toFixed(2)}`].join(', ');
}
