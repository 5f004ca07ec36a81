import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { print, printJson } from '../../text/print.ts';

export function declare(command: Command) {
  command.argument('<name>').option('--json', 'print JSON').action(deleteTemplate);
}

async function deleteTemplate(name: string, options: { json?: true }, command: Command) {
  const { control } = await connect(command);
  await control.deleteTemplate(name);
  if (options.json) printJson({ deleted: [name] });
  else print(`Template ${name} is deleted.`);
}
