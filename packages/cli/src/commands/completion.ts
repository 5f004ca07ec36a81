import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { print } from '../text/print.ts';

export function declare(command: Command) {
  command
    .argument('<shell>', 'bash or zsh')
    .addHelpText('after', '\nFor bash: eval "$(sandbox-cli completion bash)"')
    .action(printCompletion);
}

async function printCompletion(shell: string) {
  if (shell !== 'bash' && shell !== 'zsh') {
    throw new SandboxError('invalid_argument', `There is no completion for ${JSON.stringify(shell)}`, {
      hint: 'Give bash or zsh.',
    });
  }
  const { buildProgram } = await import('../program.ts');
  const { renderCompletion } = await import('../completion/render.ts');
  print(renderCompletion(await buildProgram(() => true), shell));
}
