import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { forEach } from '../../for-each.ts';
import { ANY_STATE, resolveSandboxId } from '../../resolve-id.ts';
import { confirm } from '../../terminal/confirm.ts';
import { print } from '../../text/print.ts';

type Options = { all?: true; yes?: true; json?: true };

export function declare(command: Command) {
  command
    .argument('[ids...]')
    .option('-a, --all', 'every sandbox')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print JSON')
    .action(deleteSandboxes);
}

async function deleteSandboxes(ids: string[], options: Options, command: Command) {
  const { control } = await connect(command);
  const wanted = options.all ? await allIds(ids, options, control) : ids;
  if (wanted.length === 0 && !options.all) {
    throw new SandboxError('invalid_argument', 'Which sandbox?', {
      hint: 'Give one or more ids, or --all for every sandbox.',
    });
  }
  await forEach(wanted, options, {
    result: 'deleted',
    async act(text) {
      const id = await resolveSandboxId(control, text);
      // With --all, one that ended by itself meanwhile is as good as deleted.
      if (!(await control.killSandbox(id)) && !options.all) {
        throw new SandboxError('not_found', `There is no sandbox ${id}`);
      }
      return { value: id, text: `Sandbox ${id} is deleted.` };
    },
  });
  if (!options.json && wanted.length === 0) print('There is no sandbox.');
}

async function allIds(
  ids: string[],
  options: Options,
  control: Awaited<ReturnType<typeof connect>>['control'],
): Promise<string[]> {
  if (ids.length > 0) throw new SandboxError('invalid_argument', 'Give either ids or --all, not both');
  const all = (await control.listSandboxes({ states: ANY_STATE })).map(({ sandboxID }) => sandboxID);
  const noun = all.length === 1 ? '1 sandbox' : `all ${all.length} sandboxes`;
  if (all.length === 0 || options.yes || (await confirm(`Delete ${noun}?`))) return all;
  throw new SandboxError('canceled', 'Nothing was deleted', {
    hint: 'Add --yes to delete without a question.',
  });
}
