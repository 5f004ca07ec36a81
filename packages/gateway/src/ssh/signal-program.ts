import type { Envd } from '@sandbox-backend/sdk';

/** RFC 4254, 6.10; INFO is BSD's. */
const NAMES = [
  'ABRT',
  'ALRM',
  'FPE',
  'HUP',
  'ILL',
  'INT',
  'KILL',
  'PIPE',
  'QUIT',
  'SEGV',
  'TERM',
  'USR1',
  'USR2',
];

/**
 * Sends a signal, named as in SSH, to a program and its children. envd's protocol has two signals; the others
 * are sent by a program. Errors: `not_found` when it has ended; an unknown name is ignored.
 */
export async function signalProgram(
  envd: Envd,
  pid: number,
  name: string,
  abort?: AbortSignal,
): Promise<void> {
  if (!NAMES.includes(name)) return;
  if (name === 'TERM' || name === 'KILL') return envd.signal(pid, `SIG${name}`, { signal: abort });
  const { output } = await envd.start(
    { command: '/.envd/bin/busybox', args: ['kill', `-${name}`, '--', `-${pid}`] },
    { user: 'root', signal: abort },
  );
  for (let next = await output.next(); !next.done; ) next = await output.next();
}
