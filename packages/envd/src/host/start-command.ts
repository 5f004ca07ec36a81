import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Guest } from '../guest.ts';
import { jsonResponse } from '../http/json.ts';
import { launchError, withOrdinaryOomScore } from '../processes/launch.ts';
import { spawnChild } from '../runtime.ts';
import { readShellCommand } from './shell-command.ts';

/** More likely to be killed for memory than what a user runs: it was there first and may have grown. */
const OOM_SCORE = 200;

/** Starts the template's own service; it runs on in every sandbox of the template and is not listed. */
export async function startCommand(guest: Guest, request: Request): Promise<Response> {
  const { launch } = await readShellCommand(guest, request);
  const { startLog } = guest.options;
  mkdirSync(dirname(startLog), { recursive: true });
  const log = openSync(startLog, 'a', 0o644);
  try {
    const { pid } = withOrdinaryOomScore(
      () => spawnChild({ ...launch, stdin: undefined, stdout: log, stderr: log }),
      OOM_SCORE,
    );
    return jsonResponse({ pid });
  } catch (caught) {
    throw launchError(caught, 'the start command');
  } finally {
    closeSync(log);
  }
}
