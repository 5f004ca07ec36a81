import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Envd, ProcessEnd, ProcessSpec, RunningProcess, TerminalSize } from '@sandbox-backend/sdk';
import type { ServerChannel } from 'ssh2';
import { signalProgram } from './signal-program.ts';
import { deliver, readInput } from './transfer.ts';
import type { Visitor } from './visitor.ts';

/** One request of envd carries no more. */
const PIECE_BYTES = 512 * 1024;
/** A program that ignores that its terminal is gone has this long to end. */
const HANG_UP_MS = 5000;
/** What Ctrl-D types: the end of file of a terminal. */
const END_OF_TRANSMISSION = Buffer.from([4]);

export type Program = ProcessSpec & {
  /** Told when the shell did not find its program. */
  missing?: string | undefined;
};

/** What a client may do to a program that runs. */
export type Control = { resize(size: TerminalSize): void; signal(name: string): void };

/**
 * Runs a program of the guest on a channel: its streams, its end. Resolves when nothing of it is left here. When
 * the client goes away first the program is hung up, as sshd does it.
 */
export async function runProgram(
  visitor: Visitor,
  channel: ServerChannel,
  program: Program,
  gone: AbortSignal,
  onStart: (control: Control) => void,
): Promise<void> {
  const { envd, login } = visitor;
  const stop = new AbortController();
  await using held = new AsyncDisposableStack();
  held.defer(() => stop.abort());
  try {
    const running = await envd.start(program, { user: login.user, signal: stop.signal });
    const resize = lastOnly<TerminalSize>((size) => envd.resize(running.pid, size));
    onStart({
      resize: (size) => program.terminal && resize(size),
      signal: lastOnly((name) => signalProgram(envd, running.pid, name)),
    });
    held.use(hangUpWhen(gone, envd, running.pid, program.terminal !== undefined, stop));
    const input = passInput(visitor, channel, running.pid, program.terminal ? 'pty' : 'stdin', gone);
    const end = await passOutput(visitor, channel, running, gone);
    if (!gone.aborted) {
      if (end.exitCode === 127 && program.missing) {
        await deliver(visitor.entrance, channel, 'stderr', Buffer.from(`${program.missing}\n`), gone);
      }
      finish(channel, end);
    }
    channel.resume(); // what is still sent is for nobody
    await input;
  } catch (caught) {
    if (!gone.aborted) await fail(visitor, channel, program, caught, gone);
  }
}

/** Does one after the other; of those that come meanwhile only the last. That the program has ended is no failure. */
function lastOnly<T>(act: (value: T) => Promise<void>): (value: T) => void {
  let next: { value: T } | undefined;
  let busy = false;
  const run = async () => {
    busy = true;
    for (let now = next; now; now = next) {
      next = undefined;
      await act(now.value).catch(() => {});
    }
    busy = false;
  };
  return (value) => {
    next = { value };
    if (!busy) void run();
  };
}

async function passInput(
  { envd }: Visitor,
  channel: ServerChannel,
  pid: number,
  type: 'stdin' | 'pty',
  gone: AbortSignal,
): Promise<void> {
  try {
    await readInput(channel, gone, async (data) => {
      for (let at = 0; at < data.length; at += PIECE_BYTES) {
        await envd.sendInput(pid, { type, data: data.subarray(at, at + PIECE_BYTES) });
      }
    });
    if (type === 'stdin') await envd.closeStdin(pid);
    else if (!gone.aborted) await envd.sendInput(pid, { type, data: END_OF_TRANSMISSION });
  } catch {
    channel.resume(); // the program reads no more, or has ended
  }
}

/** Everything that the program prints, until it ends; when the client is gone it is read and forgotten. */
async function passOutput(
  { entrance }: Visitor,
  channel: ServerChannel,
  { output }: RunningProcess,
  gone: AbortSignal,
): Promise<ProcessEnd> {
  for (;;) {
    const next = await output.next();
    if (next.done) return next.value;
    const { type, data } = next.value;
    if (!gone.aborted) await deliver(entrance, channel, type === 'stderr' ? 'stderr' : 'stdout', data, gone);
  }
}

/**
 * Ends what the program was there for, once the client is gone: its terminal hangs up, and takes with it who ignores
 * that; a program without one is told, and may go on by itself.
 */
function hangUpWhen(
  gone: AbortSignal,
  envd: Envd,
  pid: number,
  terminal: boolean,
  stop: AbortController,
): AsyncDisposable {
  const over = new AbortController();
  const hangUp = async () => {
    try {
      if (!terminal) await envd.closeStdin(pid).catch(() => {});
      await signalProgram(envd, pid, 'HUP');
      if (!terminal) return;
      await sleep(HANG_UP_MS, undefined, { signal: over.signal });
      await envd.signal(pid, 'SIGKILL');
    } catch {
      // The program or the sandbox has ended.
    } finally {
      stop.abort();
    }
  };
  let hanging: Promise<void> | undefined;
  const begin = () => {
    hanging = hangUp();
  };
  if (gone.aborted) begin();
  else gone.addEventListener('abort', begin, { once: true });
  return {
    async [Symbol.asyncDispose]() {
      gone.removeEventListener('abort', begin);
      over.abort();
      await hanging;
    },
  };
}

function finish(channel: ServerChannel, { exitCode, signal, error }: ProcessEnd): void {
  if (signal === undefined) channel.exit(exitCode);
  else channel.exit(signalName(signal), false, error ?? '');
  channel.end();
}

function signalName(number: number): string {
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return name?.slice('SIG'.length) ?? `${number}@sandbox-backend`;
}

/** What sshd's shell would say and answer. */
async function fail(
  { entrance, login }: Visitor,
  channel: ServerChannel,
  program: Program,
  caught: unknown,
  gone: AbortSignal,
): Promise<void> {
  const error = SandboxError.from(caught);
  if (gone.aborted) return;
  if (!(caught instanceof SandboxError)) {
    log('error', 'ssh.program', {
      sandboxId: login.sandboxId,
      program: program.command,
      error: error.message,
    });
  }
  const text = caught instanceof SandboxError ? error.describe() : 'The program was not started';
  await deliver(
    entrance,
    channel,
    'stderr',
    Buffer.from(`sandbox: ${text.replaceAll('\n', '\r\n')}\r\n`),
    gone,
  );
  channel.exit(error.code === 'not_found' ? 127 : error.code === 'permission_denied' ? 126 : 255);
  channel.end();
  channel.resume();
}
