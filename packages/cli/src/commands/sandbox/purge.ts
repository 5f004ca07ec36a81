import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { print, printJson } from '../../text/print.ts';

type Options = { all?: true; json?: true };

export function declare(command: Command) {
  command
    .argument('[ids...]', 'in full, as sandbox ls --orphan shows them')
    .option('-a, --all', 'every orphan')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nAn orphan is a machine that nobody looks after; sandboxes are never purged.')
    .action(purgeOrphans);
}

async function purgeOrphans(ids: string[], options: Options, command: Command) {
  if (options.all && ids.length > 0) {
    throw new SandboxError('invalid_argument', 'Give either ids or --all, not both');
  }
  if (!options.all && ids.length === 0) {
    throw new SandboxError('invalid_argument', 'Which orphan?', {
      hint: 'Give one or more ids, or --all for every orphan.',
    });
  }
  const { control } = await connect(command);
  const purged = await control.purgeOrphans(options.all ? undefined : ids);
  if (options.json) return printJson({ purged });
  for (const id of purged) print(`Orphan ${id} is purged.`);
  if (purged.length === 0) print('There is no orphan.');
}
