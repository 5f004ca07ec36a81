import type { Exit } from '../runtime.ts';

/** What the C library calls the signals, where that is not the name itself. */
const SIGNAL_WORDS: Record<string, string> = {
  SIGHUP: 'hangup',
  SIGINT: 'interrupt',
  SIGQUIT: 'quit',
  SIGILL: 'illegal instruction',
  SIGTRAP: 'trace/breakpoint trap',
  SIGABRT: 'aborted',
  SIGBUS: 'bus error',
  SIGFPE: 'floating point exception',
  SIGKILL: 'killed',
  SIGUSR1: 'user defined signal 1',
  SIGSEGV: 'segmentation fault',
  SIGUSR2: 'user defined signal 2',
  SIGPIPE: 'broken pipe',
  SIGALRM: 'alarm clock',
  SIGTERM: 'terminated',
  SIGXCPU: 'CPU time limit exceeded',
  SIGXFSZ: 'file size limit exceeded',
  SIGSYS: 'bad system call',
};

export type EndEvent = { exitCode?: number; exited?: boolean; status: string; error?: string };

/** How a process ended, as the protocol says it; zero values are left out. */
export function endOf({ code, signal }: Exit): EndEvent {
  if (signal !== null) {
    const status = `signal: ${SIGNAL_WORDS[signal] ?? signal.toLowerCase()}`;
    return { exitCode: -1, status, error: status };
  }
  const status = `exit status ${code ?? 0}`;
  return code ? { exitCode: code, exited: true, status, error: status } : { exited: true, status };
}
