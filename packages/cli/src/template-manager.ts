import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { SandboxError } from '@sandbox-backend/protocol';

export const TEMPLATE_MANAGER = fileURLToPath(new URL('../../../bin/template-manager', import.meta.url));

/** Runs template-manager on this terminal and resolves with its exit status. */
export function runTemplateManager(args: readonly string[], dataRoot: string): Promise<number> {
  const env = { ...process.env, SANDBOX_DATA_ROOT: dataRoot };
  const child = spawn(TEMPLATE_MANAGER, args, { stdio: 'inherit', env });
  // Ctrl-C reaches both; it cleans up first, and this process waits for it.
  const wait = () => {};
  process.on('SIGINT', wait);
  return new Promise<number>((resolve, reject) => {
    child.on('error', (cause) =>
      reject(new SandboxError('failed_precondition', `${TEMPLATE_MANAGER} does not start`, { cause })),
    );
    child.on('close', (status, signal) => resolve(status ?? 128 + (signal ? constants.signals[signal] : 0)));
  }).finally(() => process.off('SIGINT', wait));
}
