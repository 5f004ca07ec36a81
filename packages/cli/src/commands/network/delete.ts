import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { forEach } from '../../for-each.ts';
import { parseWholeNumber } from '../../text/number.ts';

export function declare(command: Command) {
  command
    .argument('<indexes...>', 'of network slots, as sandbox ls --orphan shows them')
    .option('--json', 'print JSON')
    .action(deleteNetworks);
}

async function deleteNetworks(words: string[], options: { json?: true }, command: Command) {
  const indexes = words.map(parseWholeNumber);
  const { control } = await connect(command);
  await forEach(indexes, options, {
    result: 'deleted',
    async act(index) {
      await control.cleanNetwork(index);
      return { value: index, text: `Network ${index} is deleted.` };
    },
  });
}
