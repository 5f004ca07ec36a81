import { LONGEST_TIMEOUT_SECONDS } from '@sandbox-backend/sdk';
import { type Command, Option } from 'commander';
import { connect } from '../../connect.ts';
import { parseDuration } from '../../text/duration.ts';
import { collectPair } from '../../text/pairs.ts';
import { print, printJson } from '../../text/print.ts';

type Options = {
  template: string;
  fromSnapshot?: string;
  id?: string;
  enableDiffSnapshot?: true;
  timeout: number;
  metadata?: Record<string, string>;
  env?: Record<string, string>;
  internet: boolean;
  quiet?: true;
  json?: true;
};

/** A person comes back to it later than a program does, whose default is the server's. */
const DEFAULT_LIFE_MS = 3 * 3600_000;

export function declare(command: Command) {
  command
    .option('-t, --template <name>', 'what to start it from', 'default-sandbox')
    .addOption(
      new Option('--from-snapshot <name>', 'start it from a snapshot of a sandbox').conflicts('template'),
    )
    .option('--id <id>', 'its id: a UUID, or up to 40 lower-case letters and digits (default: random)')
    .addOption(
      new Option('--timeout <duration>', 'when to end it: 300s, 1h, never')
        .argParser(parseDuration)
        .default(DEFAULT_LIFE_MS, '3h'),
    )
    .option('-m, --metadata <key=value>', 'a label; can be given again', collectPair)
    .option('-e, --env <key=value>', 'a variable for every program in it; can be given again', collectPair)
    .option('--no-internet', 'let nothing in it reach the internet')
    .option('--enable-diff-snapshot', 'recorded, and shown by ls; every snapshot is whole here')
    .option('-q, --quiet', 'print the id alone')
    .option('--json', 'print JSON')
    .action(createSandbox);
}

async function createSandbox(options: Options, command: Command) {
  const { control } = await connect(command);
  const template = options.fromSnapshot ?? options.template;
  const { sandboxId, phases } = await control.createSandbox({
    template,
    ...(options.id !== undefined && { sandboxId: options.id }),
    ...(options.enableDiffSnapshot && { diffSnapshots: true }),
    timeoutSeconds: secondsOf(options.timeout),
    ...(options.metadata && { metadata: options.metadata }),
    ...(options.env && { env: options.env }),
    allowInternet: options.internet,
  });
  if (options.json) printJson({ sandboxId, template, phases });
  else print(options.quiet ? sandboxId : `Sandbox ${sandboxId} is running.`);
}

const secondsOf = (ms: number) => (ms === 0 ? LONGEST_TIMEOUT_SECONDS : Math.ceil(ms / 1000));
