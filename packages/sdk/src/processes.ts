import { constants } from 'node:os';
import { SandboxError } from '@sandbox-backend/protocol';
import { type CallOptions, callStream, callUnary, type EnvdEndpoint } from './rpc.ts';

export type TerminalSize = { cols: number; rows: number };

export type ProcessSpec = {
  /** A program, by path or by name on the guest's PATH; never a shell line. */
  command: string;
  args?: readonly string[];
  env?: Record<string, string>;
  cwd?: string | undefined;
  /** Keeps standard input open for `sendInput`; else the program reads end of file. */
  stdin?: boolean;
  /** Gives the program a terminal of this size. */
  terminal?: TerminalSize | undefined;
};

export type ProcessOptions = CallOptions & {
  /** The program is killed after this long; undefined is no limit. */
  timeoutMs?: number | undefined;
};

/** How a program ended: its own status, or -1 and the number of the signal that ended it. */
export type ProcessEnd = { exitCode: number; signal: number | undefined; error: string | undefined };

export type ProcessOutput = { type: 'stdout' | 'stderr' | 'pty'; data: Buffer };

/** A program in the guest. It outlives this connection; only a signal or its own end stops it. */
export type RunningProcess = {
  pid: number;
  /** Everything that it prints; returns how it ended. To be read once. */
  output: AsyncGenerator<ProcessOutput, ProcessEnd>;
};

/** Starts a program and resolves when it runs. Errors: as envd reports them, for example `not_found`. */
export function startProcess(endpoint: EnvdEndpoint, spec: ProcessSpec, options: ProcessOptions = {}) {
  const message = {
    process: {
      cmd: spec.command,
      args: spec.args ?? [],
      envs: spec.env ?? {},
      ...(spec.cwd && { cwd: spec.cwd }),
    },
    ...(spec.terminal && { pty: { size: spec.terminal } }),
    stdin: spec.stdin ?? false,
  };
  return follow(callStream<ProcessMessage>(endpoint, 'process.Process/Start', message, options));
}

/** Attaches to a program that runs already, or ended a moment ago. */
export function connectProcess(endpoint: EnvdEndpoint, pid: number, options: CallOptions = {}) {
  const message = { process: { pid } };
  return follow(callStream<ProcessMessage>(endpoint, 'process.Process/Connect', message, options));
}

export async function sendInput(
  endpoint: EnvdEndpoint,
  pid: number,
  input: { type: 'stdin' | 'pty'; data: Buffer },
  options: CallOptions = {},
): Promise<void> {
  const message = { process: { pid }, input: { [input.type]: input.data.toString('base64') } };
  await callUnary(endpoint, 'process.Process/SendInput', message, options);
}

export async function closeStdin(endpoint: EnvdEndpoint, pid: number, options: CallOptions = {}) {
  await callUnary(endpoint, 'process.Process/CloseStdin', { process: { pid } }, options);
}

/** The protocol knows these two signals and no other. */
export async function sendSignal(
  endpoint: EnvdEndpoint,
  pid: number,
  signal: 'SIGTERM' | 'SIGKILL',
  options: CallOptions = {},
): Promise<void> {
  const message = { process: { pid }, signal: `SIGNAL_${signal}` };
  await callUnary(endpoint, 'process.Process/SendSignal', message, options);
}

export async function resizeTerminal(
  endpoint: EnvdEndpoint,
  pid: number,
  size: TerminalSize,
  options: CallOptions = {},
): Promise<void> {
  const message = { process: { pid }, pty: { size } };
  await callUnary(endpoint, 'process.Process/Update', message, options);
}

type ProcessMessage = {
  event?: {
    start?: { pid?: number };
    data?: { stdout?: string; stderr?: string; pty?: string };
    end?: { exitCode?: number; exited?: boolean; status?: string; error?: string };
  };
};

async function follow(messages: AsyncGenerator<ProcessMessage>): Promise<RunningProcess> {
  const first = await messages.next();
  const pid = first.done ? undefined : first.value.event?.start?.pid;
  if (pid === undefined) {
    await messages.return(undefined);
    throw new SandboxError('internal', 'envd did not say which process it started');
  }
  return { pid, output: readOutput(messages) };
}

async function* readOutput(
  messages: AsyncGenerator<ProcessMessage>,
): AsyncGenerator<ProcessOutput, ProcessEnd> {
  for await (const { event } of messages) {
    for (const type of ['stdout', 'stderr', 'pty'] as const) {
      const text = event?.data?.[type];
      if (text) yield { type, data: Buffer.from(text, 'base64') };
    }
    if (event?.end) return readEnd(event.end);
  }
  throw new SandboxError('unavailable', 'The stream ended before the program did', {
    hint: 'The program may still run; its exit status is not known.',
  });
}

function readEnd(end: NonNullable<NonNullable<ProcessMessage['event']>['end']>): ProcessEnd {
  const signal = end.exited ? undefined : signalNumber(end.status ?? '');
  return { exitCode: end.exitCode ?? (end.exited ? 0 : -1), signal, error: end.error };
}

/** What the C library calls the signals that end programs, for those whose words differ from the name. */
const SIGNAL_WORDS: Record<string, keyof typeof constants.signals> = {
  hangup: 'SIGHUP',
  interrupt: 'SIGINT',
  quit: 'SIGQUIT',
  'illegal instruction': 'SIGILL',
  'trace/breakpoint trap': 'SIGTRAP',
  aborted: 'SIGABRT',
  'bus error': 'SIGBUS',
  'floating point exception': 'SIGFPE',
  killed: 'SIGKILL',
  'user defined signal 1': 'SIGUSR1',
  'segmentation fault': 'SIGSEGV',
  'user defined signal 2': 'SIGUSR2',
  'broken pipe': 'SIGPIPE',
  'alarm clock': 'SIGALRM',
  terminated: 'SIGTERM',
};

/** `signal: killed`, `signal: SIGKILL` and `signal: 9` are all 9. */
function signalNumber(status: string): number | undefined {
  const word = /^signal: ([^(]+)/.exec(status)?.[1]?.trim();
  if (word === undefined) return undefined;
  if (/^\d+$/.test(word)) return Number(word);
  const name = SIGNAL_WORDS[word] ?? (word as keyof typeof constants.signals);
  return constants.signals[name];
}
