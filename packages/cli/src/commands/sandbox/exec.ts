import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { openSandbox } from '../../open-sandbox.ts';
import { attach } from '../../terminal/attach.ts';
import { terminalSize } from '../../terminal/size.ts';
import { parseDuration } from '../../text/duration.ts';
import { collectPair } from '../../text/pairs.ts';

type Options = {
  stdin?: true;
  tty?: true;
  user?: string;
  workdir?: string;
  env?: Record<string, string>;
  timeout?: number;
};

/** The best shell of the image; `exec` replaces this one, so that the terminal belongs to it. */
const LOGIN_SHELL = ['/bin/sh', '-c', 'command -v bash >/dev/null && exec bash -l; exec sh -l'];

export function declare(command: Command) {
  command
    .argument('<id>')
    .argument('[program...]', 'with its arguments; with -t a login shell if none is given')
    .passThroughOptions()
    .option('-i, --stdin', 'pass standard input on to the program')
    .option('-t, --tty', 'give the program a terminal, joined to this one')
    .option('-u, --user <name>', "who runs it (default: the template's user)")
    .option('-w, --workdir <folder>', 'where it runs')
    .option('-e, --env <key=value>', 'a variable for it; can be given again', collectPair)
    .option('--timeout <duration>', 'kill it after this long', parseDuration)
    .addHelpText(
      'after',
      "\nThe exit status is the program's own; 128 and the signal's number when one ended it.",
    )
    .action(execute);
}

async function execute(id: string, words: string[], options: Options, command: Command) {
  const program = words[0] === '--' ? words.slice(1) : words;
  const [file, ...args] = program.length > 0 ? program : options.tty ? LOGIN_SHELL : [];
  if (file === undefined) {
    throw new SandboxError('invalid_argument', 'Which program?', {
      hint: 'For example sandbox-cli sandbox exec ID -- uname -a; with -t alone you get a shell.',
    });
  }
  const envd = await openSandbox(command, id);
  const call = options.user ? { user: options.user } : {};
  const started = await envd.start(
    {
      command: file,
      args,
      cwd: options.workdir,
      env: { ...(options.tty && { TERM: process.env.TERM ?? 'xterm-256color' }), ...options.env },
      stdin: options.stdin ?? options.tty ?? false,
      terminal: options.tty && terminalSize(process.stdout),
    },
    { ...call, timeoutMs: options.timeout },
  );
  process.exitCode = await attach(envd, started, {
    input: options.tty ? 'pty' : options.stdin ? 'stdin' : undefined,
    call,
  });
}
