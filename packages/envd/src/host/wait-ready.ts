import type { Guest } from '../guest.ts';
import { jsonResponse, readNumber } from '../http/json.ts';
import type { Launch } from '../processes/launch.ts';
import { closeAll, launchError, makeUserPipe, withOrdinaryOomScore } from '../processes/launch.ts';
import { readDescriptor, spawnChild } from '../runtime.ts';
import type { User } from '../users/users.ts';
import { readShellCommand } from './shell-command.ts';

const PAUSE_MS = 200;
const DEFAULT_TIMEOUT_MS = 60_000;
const KEPT_OUTPUT = 4000;

/** Runs the readiness command again and again until it exits with 0; 504 with its last output when the time is up. */
export async function waitReady(guest: Guest, request: Request): Promise<Response> {
  const { message, user, launch } = await readShellCommand(guest, request);
  const timeoutMs = readNumber(message, 'timeoutMs') || DEFAULT_TIMEOUT_MS;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const { ok, output } = await runOnce(launch, user, deadline - performance.now());
    if (ok) return jsonResponse({ ready: true });
    if (performance.now() + PAUSE_MS >= deadline || request.signal.aborted) {
      const text = `the readiness command did not succeed within ${timeoutMs} ms`;
      return new Response(JSON.stringify({ ready: false, code: 504, message: text, output }), {
        status: 504,
        headers: { 'content-type': 'application/json' },
      });
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

async function runOnce(launch: Launch, user: User, timeoutMs: number) {
  const [read, write] = makeUserPipe(user);
  let output = '';
  const collect = async () => {
    const reader = readDescriptor(read);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      if (value) output = (output + Buffer.from(value).toString('utf8')).slice(-KEPT_OUTPUT);
    }
  };
  try {
    const child = withOrdinaryOomScore(() =>
      spawnChild({ ...launch, stdin: undefined, stdout: write, stderr: write }),
    );
    void collect();
    const timer = setTimeout(() => killGroup(child.pid), Math.max(timeoutMs, 1));
    const exit = await new Promise<{ code: number | null }>((resolve) => {
      child.onExit = resolve;
    });
    clearTimeout(timer);
    return { ok: exit.code === 0, output };
  } catch (caught) {
    closeAll([read]);
    throw launchError(caught, 'the readiness command');
  } finally {
    closeAll([write]);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it has just ended
  }
}
