import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { resolveSandboxId } from '../../resolve-id.ts';
import { print, printJson } from '../../text/print.ts';
import { formatBytes } from '../../text/size.ts';
import { renderFields } from '../../text/table.ts';
import { formatTime } from '../../text/time.ts';

export function declare(command: Command) {
  command
    .argument('<id>')
    .option('--json', 'print every sample that the server has, as JSON')
    .action(showMetrics);
}

async function showMetrics(text: string, options: { json?: true }, command: Command) {
  const { control } = await connect(command);
  const samples = await control.sandboxMetrics(await resolveSandboxId(control, text));
  if (options.json) return printJson(samples);
  const last = samples.at(-1);
  if (!last) return print('The server has no sample of this sandbox yet.');
  print(
    renderFields({
      time: formatTime(new Date(last.timestampUnix * 1000).toISOString()),
      cpu: `${last.cpuUsedPct.toFixed(1)} % of ${last.cpuCount}`,
      memory: `${formatBytes(last.memUsed)} of ${formatBytes(last.memTotal)}`,
      disk: `${formatBytes(last.diskUsed)} of ${formatBytes(last.diskTotal)}`,
    }),
  );
}
