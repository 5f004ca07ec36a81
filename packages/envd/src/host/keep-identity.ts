import { mkdirSync, writeFileSync } from 'node:fs';
import type { Guest } from '../guest.ts';
import { logLine } from '../log.ts';

/** Keeps what /init said, for root alone: an envd that had to be started again must not be open to everybody. */
export function keepIdentity(guest: Guest): void {
  const { identity, options } = guest;
  if (options.stateFile) writeFileSync(options.stateFile, JSON.stringify(identity), { mode: 0o600 });
  // Where programs of E2B's templates look; nothing that is asked for at once.
  if (options.system) setImmediate(writeMarks, identity.sandboxId ?? '', identity.templateId ?? '');
}

function writeMarks(sandboxId: string, templateId: string): void {
  try {
    mkdirSync('/run/e2b', { recursive: true });
    writeFileSync('/run/e2b/.E2B_SANDBOX', 'true');
    writeFileSync('/run/e2b/.E2B_SANDBOX_ID', sandboxId);
    writeFileSync('/run/e2b/.E2B_TEMPLATE_ID', templateId);
  } catch (caught) {
    logLine(`/run/e2b: ${(caught as Error).message}`);
  }
}
