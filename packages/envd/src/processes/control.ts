import { SandboxError } from '@sandbox-backend/protocol';
import type { Guest } from '../guest.ts';
import {
  encodeEnvelope,
  endEnvelope,
  readMessages,
  readSingle,
  readUnary,
  streamOf,
  timeoutOf,
} from '../http/connect.ts';
import { jsonResponse, readBytes, readObject } from '../http/json.ts';
import type { GuestProcess } from './process.ts';
import { follow, readSize } from './start.ts';

export async function list(guest: Guest, request: Request): Promise<Response> {
  await readUnary(request);
  const processes = Array.from(guest.processes.list(), ({ pid, tag, command }) => ({
    config: {
      cmd: command.cmd,
      args: command.args,
      envs: command.env,
      ...(command.cwd && { cwd: command.cwd }),
    },
    pid,
    ...(tag !== undefined && { tag }),
  }));
  return jsonResponse({ processes });
}

/** Streams the events of a process that somebody started, from now on. */
export async function connect(guest: Guest, request: Request): Promise<Response> {
  const message = await readSingle(request);
  const process = guest.processes.findAny(readObject(message, 'process'));
  const stream = follow(request, process);
  const timeoutMs = timeoutOf(request);
  if (timeoutMs !== undefined && !stream.closed) {
    const expire = () => stream.end(new SandboxError('deadline_exceeded', `no end within ${timeoutMs} ms`));
    const timer = setTimeout(expire, timeoutMs);
    process.onceEnded(() => clearTimeout(timer));
  }
  return stream.response();
}

/** Resizes the terminal of a process. */
export async function update(guest: Guest, request: Request): Promise<Response> {
  const message = await readUnary(request);
  const process = guest.processes.findLive(readObject(message, 'process'));
  const pty = readObject(message, 'pty');
  if (pty) {
    const { cols, rows } = readSize(pty);
    terminalOf(process).resize(cols, rows);
  }
  return jsonResponse({});
}

export async function sendInput(guest: Guest, request: Request): Promise<Response> {
  const message = await readUnary(request);
  const process = guest.processes.findLive(readObject(message, 'process'));
  await giveInput(process, readObject(message, 'input') ?? {});
  return jsonResponse({});
}

export async function streamInput(guest: Guest, request: Request): Promise<Response> {
  let process: GuestProcess | undefined;
  for await (const message of readMessages(request)) {
    const event = readObject(message, 'event') ?? message;
    const start = readObject(event, 'start');
    if (start) process = guest.processes.findLive(readObject(start, 'process'));
    const data = readObject(event, 'data');
    if (!data) continue;
    if (!process) throw new SandboxError('invalid_argument', 'the input comes before the process is named');
    await giveInput(process, readObject(data, 'input') ?? {});
  }
  return streamOf([encodeEnvelope('{}'), endEnvelope()]);
}

export async function closeStdin(guest: Guest, request: Request): Promise<Response> {
  const message = await readUnary(request);
  const process = guest.processes.findLive(readObject(message, 'process'));
  if (process.terminal) {
    throw new SandboxError('failed_precondition', 'a terminal has no end of input; send it the character ^D');
  }
  process.closeStdin();
  return jsonResponse({});
}

const SIGNALS: Record<string, number> = { SIGNAL_SIGKILL: 9, SIGNAL_SIGTERM: 15, 9: 9, 15: 15 };

export async function sendSignal(guest: Guest, request: Request): Promise<Response> {
  const message = await readUnary(request);
  const process = guest.processes.findLive(readObject(message, 'process'));
  const signal = SIGNALS[String(message.signal)];
  if (signal === undefined) {
    throw new SandboxError('invalid_argument', 'the signal is neither SIGNAL_SIGTERM nor SIGNAL_SIGKILL');
  }
  process.signal(signal);
  return jsonResponse({});
}

async function giveInput(process: GuestProcess, input: Record<string, unknown>): Promise<void> {
  const keys = readBytes(input, 'pty');
  if (keys) return terminalOf(process).write(keys);
  const bytes = readBytes(input, 'stdin');
  if (!bytes) throw new SandboxError('invalid_argument', 'the input is neither stdin nor pty');
  if (process.terminal) return process.terminal.write(bytes);
  await process.write(bytes);
}

function terminalOf(process: GuestProcess) {
  if (process.terminal) return process.terminal;
  throw new SandboxError('failed_precondition', `process ${process.pid} has no terminal`);
}
