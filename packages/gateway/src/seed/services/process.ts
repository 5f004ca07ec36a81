import { randomBytes } from 'node:crypto';
import { SandboxError } from '@sandbox-backend/protocol';
import { type ProcessOutput, sendSignal } from '@sandbox-backend/sdk';
import { splitLines } from '../programs/split-lines.ts';
import type { Note, ProgramSpec } from '../programs/table.ts';
import { failed } from '../rpc/errors.ts';
import { method, NOTHING, service, stream } from '../rpc/service.ts';
import type { SeedSandbox } from '../sandbox.ts';
import { folderOf, loginShell, USER } from './guest.ts';
import { reasonOf } from './reason.ts';
import { startLogProgram } from './start-log.ts';
import { timestamp } from './timestamp.ts';

const MAX_ID_LENGTH = 256;
/** For whoever comes to a process that speaks already: clients are not ready for what comes with the answer. */
export const LATE_DELAY_MS = 50;

const listenTo = (topic: string) =>
  stream(['string'], async (sandbox, subscription, id) => {
    sandbox.processes.subscribe(id, topic, subscription);
    return sandbox.processes.has(id) ? LATE_DELAY_MS : 0;
  });

export const process = service(
  {
    start: method(['string', 'string', 'environment', 'string'], async (sandbox, givenId, line, env, cwd) => {
      const id = givenId || makeId();
      try {
        checkId(id);
        await sandbox.processes.start(id, specOf(sandbox, line, env, cwd));
      } catch (caught) {
        throw failed(`error starting process '${id}': fork/exec /bin/bash: ${startReason(caught)}`);
      }
      return JSON.stringify(id);
    }),
    stdin: method(['string', 'string'], async (sandbox, id, data) => {
      if (!(await sandbox.processes.send(id, 'stdin', data))) throw failed(`error finding process '${id}'`);
      return NOTHING;
    }),
    kill: method(['string'], async ({ processes, endpoint, signal }, id) => {
      await processes.act(id, (pid) => kill(() => sendSignal(endpoint, pid, 'SIGKILL', { signal })));
      return NOTHING;
    }),
  },
  { onStdout: listenTo('onStdout'), onStderr: listenTo('onStderr'), onExit: listenTo('onExit') },
);

function specOf(sandbox: SeedSandbox, line: string, env: Record<string, string>, cwd: string): ProgramSpec {
  const { user, program } = startLogProgram(line) ?? { user: USER, program: loginShell(line) };
  const splitters = { stdout: splitLines(sandbox.held), stderr: splitLines(sandbox.held) };
  return {
    process: { ...program, env: { SHELL: '/bin/bash', ...env }, cwd: folderOf(cwd), stdin: true },
    user,
    describe: ({ type, data }: ProcessOutput) =>
      type === 'pty' ? [] : splitters[type].add(data).map((text) => lineNote(type, text)),
    describeEnd: (exitCode) => [
      ...splitters.stdout.end().map((text) => lineNote('stdout', text)),
      ...splitters.stderr.end().map((text) => lineNote('stderr', text)),
      { topic: 'onExit', result: String(exitCode) },
    ],
  };
}

function lineNote(type: 'stdout' | 'stderr', line: string): Note {
  const name = type === 'stdout' ? 'Stdout' : 'Stderr';
  // The number is beyond what a JavaScript number holds.
  const result = `{"type":"${name}","line":${JSON.stringify(line)},"timestamp":${timestamp()}}`;
  return { topic: `on${name}`, result };
}

const makeId = () => randomBytes(10).toString('hex');

export function checkId(id: string): void {
  if (id.length > MAX_ID_LENGTH) throw new SandboxError('invalid_argument', 'file name too long');
}

export function startReason(caught: unknown): string {
  const error = SandboxError.from(caught);
  return /^cwd .* does not exist$/s.test(error.message) ? 'no such file or directory' : reasonOf(error);
}

/** To end what has just ended is no error. */
export async function kill(send: () => Promise<void>): Promise<void> {
  try {
    await send();
  } catch (caught) {
    if (SandboxError.from(caught).code !== 'not_found') throw caught;
  }
}
