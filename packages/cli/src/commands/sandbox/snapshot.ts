import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { forEach } from '../../for-each.ts';
import { resolveSandboxId } from '../../resolve-id.ts';
import { snapshotName } from '../../snapshot-name.ts';

type Options = { delete?: true; name?: string; json?: true };

export function declare(command: Command) {
  command
    .argument('<ids...>')
    .option('-n, --name <name>', "the snapshot's; one of this name is replaced")
    .option('--delete', 'end each sandbox when its snapshot is made')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nStart from it with: sandbox-cli sandbox create --from-snapshot NAME')
    .action(snapshotSandboxes);
}

async function snapshotSandboxes(ids: string[], options: Options, command: Command) {
  if (options.name !== undefined && ids.length > 1) {
    throw new SandboxError('invalid_argument', 'Several snapshots cannot have one name', {
      hint: 'Give one id, or leave --name out.',
    });
  }
  const { control } = await connect(command);
  await forEach(ids, options, {
    result: 'snapshots',
    async act(text) {
      const sandboxId = await resolveSandboxId(control, text);
      const name = snapshotName(await control.createSnapshot(sandboxId, options.name));
      if (options.delete) await control.killSandbox(sandboxId);
      const after = options.delete ? ', and the sandbox is deleted' : '';
      return { value: { sandboxId, name }, text: `Snapshot ${name} of ${sandboxId} is made${after}.` };
    },
  });
}
