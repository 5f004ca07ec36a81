import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { resolveSandboxId } from '../../resolve-id.ts';
import { print, printJson } from '../../text/print.ts';
import { formatMebibytes } from '../../text/size.ts';
import { renderFields } from '../../text/table.ts';
import { formatEnd, formatTime } from '../../text/time.ts';

export function declare(command: Command) {
  command
    .argument('<id>')
    .option('--json', "print JSON, its access token and its address for the seed's clients included")
    .action(showSandbox);
}

async function showSandbox(text: string, options: { json?: true }, command: Command) {
  const { control } = await connect(command);
  const id = await resolveSandboxId(control, text);
  const info = await control.getSandbox(id);
  const machine = (await control.status())?.sandboxes?.find(({ sandboxId }) => sandboxId === id);
  if (options.json) {
    const { sandboxId: _, ...known } = machine ?? { sandboxId: id };
    return printJson({ ...info, ...known });
  }
  const metadata = Object.entries(info.metadata ?? {}).map(([key, value]) => `${key}=${value}`);
  print(
    renderFields({
      id,
      template: info.alias ?? info.templateID,
      state: info.state,
      address: machine?.address,
      pid: machine && String(machine.pid),
      network: machine?.slotIndex === undefined ? undefined : String(machine.slotIndex),
      cpus: String(info.cpuCount),
      memory: formatMebibytes(info.memoryMB),
      disk: formatMebibytes(info.diskSizeMB),
      started: formatTime(info.startedAt),
      ends: formatEnd(info.endAt),
      metadata: metadata.length > 0 ? metadata.join(', ') : undefined,
      envd: info.envdVersion,
    }),
  );
}
