import { chownSync, closeSync, constants, openSync, readlinkSync } from 'node:fs';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Guest } from '../guest.ts';
import { readSingle, timeoutOf } from '../http/connect.ts';
import { EventStream } from '../http/event-stream.ts';
import { readNumber, readObject, readText, readTexts, textRecord } from '../http/json.ts';
import { holdTerminal, setNonBlocking, spawnChild, spawnInTerminal } from '../runtime.ts';
import { callerOf } from '../users/caller.ts';
import type { User } from '../users/users.ts';
import { KEEPALIVE_EVENT } from './events.ts';
import {
  type Command,
  closeAll,
  type Launch,
  launchError,
  makeUserPipe,
  planLaunch,
  withOrdinaryOomScore,
} from './launch.ts';
import { GuestProcess } from './process.ts';

const SIGKILL = 9;

/** Starts a process and streams its events. It outlives the stream; only `Connect-Timeout-Ms` ends it with the call. */
export async function start(guest: Guest, request: Request): Promise<Response> {
  const message = await readSingle(request);
  const user = callerOf(guest, request);
  const command = readCommand(readObject(message, 'process') ?? {});
  const tag = readText(message, 'tag') || undefined;
  const pty = readObject(message, 'pty');
  const launch = planLaunch(guest, user, command);

  const onEnd = (process: GuestProcess) => guest.processes.moveToEnded(process);
  const process = pty
    ? startInTerminal(launch, user, command, tag, readSize(pty), onEnd)
    : startWithPipes(launch, user, command, tag, message.stdin !== false, onEnd);
  guest.processes.add(process);

  const stream = follow(request, process);
  limitTime(process, stream, timeoutOf(request));
  return stream.response();
}

/** A stream of the events of the process. That it is closed from afar does nothing to the process. */
export function follow(request: Request, process: GuestProcess): EventStream {
  const stream: EventStream = new EventStream(request, KEEPALIVE_EVENT, () => process.unsubscribe(stream));
  process.subscribe(stream);
  return stream;
}

function limitTime(process: GuestProcess, stream: EventStream, timeoutMs: number | undefined): void {
  if (timeoutMs === undefined) return;
  const timer = setTimeout(() => {
    if (process.end) return;
    process.unsubscribe(stream);
    stream.end(
      new SandboxError('deadline_exceeded', `the process did not end within ${timeoutMs} ms and was killed`),
    );
    try {
      process.signal(SIGKILL);
    } catch {
      // it has just ended
    }
  }, timeoutMs);
  process.onceEnded(() => clearTimeout(timer));
}

function readCommand(config: Record<string, unknown>): Command {
  return {
    cmd: readText(config, 'cmd'),
    args: readTexts(config, 'args'),
    env: textRecord(config.envs),
    cwd: readText(config, 'cwd'),
  };
}

export function readSize(pty: Record<string, unknown>): { cols: number; rows: number } {
  const size = readObject(pty, 'size') ?? {};
  const bounded = (name: string, otherwise: number) =>
    Math.min(Math.max(readNumber(size, name) || otherwise, 1), 0xffff);
  return { cols: bounded('cols', 80), rows: bounded('rows', 24) };
}

function startWithPipes(
  launch: Launch,
  user: User,
  command: Command,
  tag: string | undefined,
  stdin: boolean,
  onEnd: (process: GuestProcess) => void,
): GuestProcess {
  const theirs: number[] = [];
  const ours: number[] = [];
  try {
    const pipe = (theirEnd: 0 | 1) => {
      const ends = makeUserPipe(user);
      theirs.push(ends[theirEnd]);
      ours.push(ends[1 - theirEnd]!);
    };
    pipe(1);
    pipe(1);
    if (stdin) pipe(0);
    const child = withOrdinaryOomScore(() =>
      spawnChild({ ...launch, stdout: theirs[0], stderr: theirs[1], stdin: theirs[2] }),
    );
    const process = new GuestProcess(child, command, tag, onEnd);
    for (const fd of ours) setNonBlocking(fd);
    const [stdout, stderr, input] = ours.splice(0);
    if (input !== undefined) process.stdin = input;
    process.follow([
      ['stdout', stdout!],
      ['stderr', stderr!],
    ]);
    return process;
  } catch (caught) {
    closeAll(ours);
    throw launchError(caught, command.cmd);
  } finally {
    closeAll(theirs);
  }
}

function startInTerminal(
  launch: Launch,
  user: User,
  command: Command,
  tag: string | undefined,
  size: { cols: number; rows: number },
  onEnd: (process: GuestProcess) => void,
): GuestProcess {
  let process: GuestProcess | undefined;
  try {
    const { child, terminal } = withOrdinaryOomScore(() =>
      spawnInTerminal({
        ...launch,
        ...size,
        onOutput: (bytes) => process?.publish('pty', bytes),
        onEnd: () => process?.removeSource(),
      }),
    );
    process = new GuestProcess(child, command, tag, (ended) => {
      if (device >= 0) closeSync(device);
      onEnd(ended);
    });
    process.addSource();
    process.terminal = terminal;
    const device = openDevice(child.pid, user);
    if (device >= 0) process.hold = (on) => void holdTerminal(device, on);
    return process;
  } catch (caught) {
    throw launchError(caught, command.cmd);
  }
}

/** The programs' side of the terminal, which from now on belongs to the user; -1 when the process is gone already. */
function openDevice(pid: number, user: User): number {
  try {
    const path = readlinkSync(`/proc/${pid}/fd/0`);
    if (!path.startsWith('/dev/pts/')) return -1;
    chownSync(path, user.uid, -1);
    return openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch {
    return -1;
  }
}
