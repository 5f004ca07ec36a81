import type { TerminalSize } from '@sandbox-backend/sdk';
import type { PseudoTtyInfo, ServerChannel, Session, WindowChangeInfo } from 'ssh2';
import { findGuestUser, type GuestUser } from './guest-user.ts';
import { type Control, type Program, runProgram } from './run-program.ts';
import { sftpProgram } from './sftp-program.ts';
import type { Visitor } from './visitor.ts';

/** Variables that a client may set, as Debian's sshd has it. */
const ACCEPTED = /^(?:LANG|LC_[A-Z_]{1,30}|COLORTERM|NO_COLOR|TZ)$/;
const LONGEST_VALUE = 1024;
const MAX_VARIABLES = 32;

/**
 * One session of a client: a shell, a command or the file transfer, once, in a program of the guest. `done` is
 * called when nothing is left of it.
 */
export function serveSession(visitor: Visitor, session: Session, done: () => void): void {
  const env: Record<string, string> = {};
  const gone = new AbortController();
  let terminal: TerminalSize | undefined;
  let control: Control | undefined;
  let started = false;
  const leave = () => gone.abort();
  visitor.gone.addEventListener('abort', leave);

  session.on('pty', (accept, _reject, info) => {
    terminal = sizeOf(info);
    // Its type leaves out the name of the terminal.
    env.TERM = (info as PseudoTtyInfo & { term?: string }).term?.slice(0, 64) || 'xterm';
    accept?.();
  });
  session.on('window-change', (accept, _reject, info) => {
    if (terminal) terminal = sizeOf(info);
    if (terminal) control?.resize(terminal);
    accept?.();
  });
  session.on('env', (accept, reject, { key, val }) => {
    const room = Object.keys(env).length < MAX_VARIABLES;
    if (!room || !ACCEPTED.test(key) || val.length > LONGEST_VALUE || val.includes('\0')) return reject?.();
    env[key] = val;
    accept?.();
  });
  session.on('signal', (accept, _reject, { name }) => {
    control?.signal(name);
    accept?.();
  });

  const begin = (accept: () => ServerChannel, plan: (user: GuestUser) => Program) => {
    if (started) return;
    started = true;
    const channel = accept();
    channel.on('error', () => {}); // 'close' of the session follows
    visitor.channels.watch(channel);
    const run = async () => {
      const user = await findGuestUser(visitor.envd, visitor.login.user);
      const program = plan(user);
      const variables = { ...connectionVariables(visitor), SHELL: user.shell, ...env, ...program.env };
      const onStart = (running: Control) => {
        control = running;
        if (terminal && program.terminal !== terminal) running.resize(terminal); // changed meanwhile
      };
      await runProgram(visitor, channel, { ...program, env: variables, stdin: true }, gone.signal, onStart);
    };
    visitor.work(run().finally(end));
  };
  session.on('shell', (accept) => begin(accept, ({ shell }) => ({ command: shell, args: ['-l'], terminal })));
  session.on('exec', (accept, _reject, { command }) =>
    begin(accept, ({ shell }) => ({
      command: shell,
      args: ['-c', command],
      terminal,
      missing: whatIsMissing(command),
    })),
  );
  session.on('subsystem', (accept, reject, { name }) => {
    if (name === 'sftp') begin(accept, sftpProgram);
    else reject?.();
  });
  session.on('close', () => {
    gone.abort();
    if (started) return;
    end();
    visitor.channels.countUnused();
  });

  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    visitor.gone.removeEventListener('abort', leave);
    done();
  };
}

/** A client without a terminal of its own says 0. */
const sizeOf = ({ cols, rows }: PseudoTtyInfo | WindowChangeInfo): TerminalSize => ({
  cols: Math.min(cols || 80, 0xffff),
  rows: Math.min(rows || 24, 0xffff),
});

/** By these programs tell that somebody is there from afar. */
function connectionVariables({ entrance }: Visitor): Record<string, string> {
  const { remoteAddress, remotePort, localAddress, localPort } = entrance;
  return {
    SSH_CLIENT: `${remoteAddress} ${remotePort} ${localPort}`,
    SSH_CONNECTION: `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`,
  };
}

/** For the clients that need a program of their own on the other side, which many images lack. */
function whatIsMissing(command: string): string | undefined {
  if (/^scp (?:-\S+ )*-[tf]\b/.test(command)) {
    return 'sandbox: scp -O needs the program scp in the sandbox; use scp without -O, or sftp, which need nothing there.';
  }
  if (/^rsync --server\b/.test(command)) {
    return 'sandbox: rsync needs the program rsync in the sandbox: install it there or in its template, or use scp -r.';
  }
  return undefined;
}
