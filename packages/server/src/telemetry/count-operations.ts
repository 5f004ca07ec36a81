import type { OperationReport } from '@sandbox-backend/kit';
import type { Registry } from './registry.ts';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const MIB = 1024 * 1024;
const BYTES = [1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096].map((mib) => mib * MIB);

/** What is counted of every operation. Its labels are code's own words, but for the names of templates that exist. */
export function operationCounter(registry: Registry): (report: OperationReport) => void {
  const count = registry.counter(
    'sandbox_backend_operations_total',
    'Operations that ended, by template and by result: ok, or the code of the error.',
  );
  const duration = registry.histogram(
    'sandbox_backend_operation_duration_seconds',
    'How long operations took.',
    SECONDS,
  );
  const phaseDuration = registry.histogram(
    'sandbox_backend_operation_phase_duration_seconds',
    'How long the steps of operations took.',
    SECONDS,
  );
  const reclaimed = registry.histogram(
    'sandbox_backend_deactivation_reclaimed_bytes',
    'Memory that deactivating a sandbox gave back to the host.',
    BYTES,
  );

  return ({ verb: operation, startedAt, endedAt, phases, attributes, error }) => {
    const template = String(attributes.template ?? '');
    count({ operation, code: error?.code ?? 'ok', template });
    duration({ operation, result: error ? 'error' : 'ok' }, (endedAt - startedAt) / 1000);
    for (const phase of phases) {
      phaseDuration({ operation, phase: phase.name }, (phase.endedAt - phase.startedAt) / 1000);
    }
    if (typeof attributes.reclaimedBytes === 'number') reclaimed({}, attributes.reclaimedBytes);
  };
}
