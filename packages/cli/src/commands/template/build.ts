import type { Command } from 'commander';
import { runTemplateManager } from '../../template-manager.ts';

export function declare(command: Command) {
  command
    .argument('<file>', 'the template as JSON or TOML')
    .argument('[options...]', 'for template-manager, after --')
    .action(buildTemplate);
}

async function buildTemplate(file: string, options: string[]) {
  process.exitCode = await runTemplateManager(['--template', file, ...options]);
}
