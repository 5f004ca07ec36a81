import type { Command } from 'commander';
import { connect } from '../connect.ts';
import { resolveSandboxId } from '../resolve-id.ts';
import { sshFiles } from '../ssh/files.ts';
import { prepareSsh } from '../ssh/prepare.ts';
import { sshOptions } from '../ssh/render-config.ts';
import { runSshTool } from '../ssh/run-ssh-tool.ts';
import { quoteForShell } from '../text/quote.ts';

type Options = {
  user: string;
  tty?: true;
  local?: string[];
  remote?: string[];
  dynamic?: string[];
  /** False with --no-command. */
  command: boolean;
};

const collect = (value: string, before: string[] = []) => [...before, value];

export function declare(command: Command) {
  command
    .argument('<id>')
    .argument('[command...]', 'with its arguments; a login shell if none is given')
    .passThroughOptions()
    .option('-l, --user <name>', 'who logs in', 'root')
    .option('-t, --tty', 'give the command a terminal')
    .option(
      '-L, --local <spec>',
      "forward a port here to the sandbox, as ssh's -L; can be given again",
      collect,
    )
    .option('-R, --remote <spec>', "forward a port there to here, as ssh's -R; can be given again", collect)
    .option('-D, --dynamic <spec>', "a SOCKS proxy to the sandbox's ports, as ssh's -D", collect)
    .option('-N, --no-command', 'run nothing, forward only')
    .addHelpText(
      'after',
      "\nRuns OpenSSH's ssh. For scp, sftp, rsync and editors: sandbox-cli ssh-config --install, then ssh root@ID.",
    )
    .action(enter);
}

async function enter(id: string, words: string[], options: Options, command: Command) {
  const { control, connection } = await connect(command);
  const sandboxId = await resolveSandboxId(control, id);
  const setup = await prepareSsh(control, connection.apiUrl, sshFiles());
  const program = words[0] === '--' ? words.slice(1) : words;
  const each = (flag: string, values: string[] = []) => values.flatMap((value) => [flag, value]);
  process.exitCode = await runSshTool('ssh', [
    ...sshOptions(setup).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ...each('-L', options.local),
    ...each('-R', options.remote),
    ...each('-D', options.dynamic),
    ...(options.tty ? ['-t'] : []),
    ...(!options.command ? ['-N'] : []),
    '-l',
    options.user,
    '--',
    `${sandboxId}.sandbox`,
    // One line for the shell there, in which each word is the word that it is here.
    ...(program.length > 1 ? [program.map(quoteForShell).join(' ')] : program),
  ]);
}
