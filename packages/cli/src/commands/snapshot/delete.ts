import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { forEach } from '../../for-each.ts';
import { snapshotName } from '../../snapshot-name.ts';

export function declare(command: Command) {
  command.argument('<names...>').option('--json', 'print JSON').action(deleteSnapshots);
}

async function deleteSnapshots(names: string[], options: { json?: true }, command: Command) {
  const { control } = await connect(command);
  // Templates are deleted with the same request: only what is a snapshot may go.
  const known = new Set((await control.listSnapshots()).map(snapshotName));
  await forEach(names, options, {
    result: 'deleted',
    async act(text) {
      const name = text.replace(/:default$/, '');
      if (!known.has(name)) {
        throw new SandboxError('not_found', `There is no snapshot ${name}`, {
          hint: 'sandbox-cli snapshot ls lists them.',
        });
      }
      await control.deleteTemplate(name);
      return { value: name, text: `Snapshot ${name} is deleted.` };
    },
  });
}
