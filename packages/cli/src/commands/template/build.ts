import type { Command } from 'commander';
import { connectionOf } from '../../connect.ts';
import { runTemplateManager } from '../../template-manager.ts';

export function declare(command: Command) {
  command
    .argument('<file>', 'the template as JSON or TOML')
    .argument('[options...]', 'for template-manager, after --')
    .action(buildTemplate);
}

async function buildTemplate(file: string, words: string[], _options: unknown, command: Command) {
  const { dataRoot } = await connectionOf(command);
  process.exitCode = await runTemplateManager(['--template', file, ...words], dataRoot);
}
