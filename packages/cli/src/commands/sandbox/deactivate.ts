import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { forEach } from '../../for-each.ts';
import { resolveSandboxId } from '../../resolve-id.ts';
import { formatBytes } from '../../text/size.ts';

export function declare(command: Command) {
  command.argument('<ids...>').option('--json', 'print JSON').action(deactivateSandboxes);
}

async function deactivateSandboxes(ids: string[], options: { json?: true }, command: Command) {
  const { control } = await connect(command);
  await forEach(ids, options, {
    result: 'deactivated',
    async act(text) {
      const sandboxId = await resolveSandboxId(control, text);
      const { reclaimedBytes, beforeBytes, afterBytes } = await control.deactivateSandbox(sandboxId);
      return {
        value: { sandboxId, reclaimedBytes, beforeBytes, afterBytes },
        text: `Sandbox ${sandboxId} gave ${formatBytes(reclaimedBytes)} back; it holds ${formatBytes(afterBytes)}.`,
      };
    },
  });
}
