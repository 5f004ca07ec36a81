import { Command, CommanderError } from 'commander';
import type { CommandEntry } from './command.ts';
import { COMMANDS } from './commands.ts';
import { addServerOptions } from './connect.ts';
import { reportError, usageError } from './report-error.ts';
import { exitOnBrokenPipe } from './terminal/broken-pipe.ts';

const HELP = `
Examples:
  sandbox-cli sandbox create -t default-sandbox
  sandbox-cli sandbox exec 1a2b -- python3 -c 'print(6 * 7)'
  sandbox-cli sandbox exec -t 1a2b
  sandbox-cli sandbox cp ./data 1a2b:work/
  eval "$(sandbox-cli env)"
`;

/** Runs one command line and resolves with the exit status; it never rejects. */
export async function runCli(argv: readonly string[]): Promise<number> {
  exitOnBrokenPipe();
  const own = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  const report = {
    json: own.includes('--json'),
    verbose: own.some((word) => /^(-v+|--verbose)$/.test(word)),
  };
  try {
    const program = await buildProgram((path) =>
      path.every((names) => names.some((name) => argv.includes(name))),
    );
    program.hook('preAction', (_program, action) => {
      report.json = action.opts().json === true;
      report.verbose = action.optsWithGlobals().verbose === true;
    });
    await program.parseAsync(argv, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (caught) {
    if (!(caught instanceof CommanderError)) return reportError(caught, report);
    const helped = caught.code === 'commander.helpDisplayed' || caught.code === 'commander.help';
    return helped ? (caught.exitCode === 0 ? 0 : 2) : reportError(usageError(caught), report);
  }
}

/**
 * The command tree, with the options of those commands for which `wanted` says so: each is a module
 * of its own, and the time to load the others is not spent. `path` holds, for each word of a
 * command, the names under which it may be called.
 */
export async function buildProgram(wanted: (path: string[][]) => boolean): Promise<Command> {
  const program = new Command('sandbox-cli')
    .description('Linux microVMs for AI agents, on your own machine.')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .addHelpText('after', HELP);
  await addCommands(program, COMMANDS, [], wanted);
  addServerOptions(program);
  return program;
}

async function addCommands(
  parent: Command,
  entries: Record<string, CommandEntry>,
  path: string[][],
  wanted: (path: string[][]) => boolean,
) {
  for (const [name, entry] of Object.entries(entries)) {
    const command = parent
      .command(name)
      .description(entry.summary)
      .aliases(entry.aliases ?? []);
    const ownPath = [...path, [name, ...(entry.aliases ?? [])]];
    if (entry.load && wanted(ownPath)) (await entry.load()).declare(command);
    if (entry.commands) await addCommands(command, entry.commands, ownPath, wanted);
    addServerOptions(command);
  }
}
