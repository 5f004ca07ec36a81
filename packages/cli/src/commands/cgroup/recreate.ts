import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { print, printJson } from '../../text/print.ts';

export function declare(command: Command) {
  command.option('--json', 'print JSON').action(recreateCgroup);
}

async function recreateCgroup(options: { json?: true }, command: Command) {
  const { control } = await connect(command);
  await control.recreateCgroup();
  if (options.json) printJson({ recreated: true });
  else print('The control group of the sandboxes is made anew.');
}
