import type { SnapshotListing } from '@sandbox-backend/sdk';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { resolveSandboxId } from '../../resolve-id.ts';
import { snapshotName } from '../../snapshot-name.ts';
import { print, printJson } from '../../text/print.ts';
import { type Column, renderTable } from '../../text/table.ts';
import { formatTime } from '../../text/time.ts';

export function declare(command: Command) {
  command
    .option('-s, --sandbox <id>', 'only those of this sandbox')
    .option('--json', 'print JSON')
    .action(listSnapshots);
}

async function listSnapshots(options: { sandbox?: string; json?: true }, command: Command) {
  const { control } = await connect(command);
  const snapshots = await control.listSnapshots(
    options.sandbox === undefined ? {} : { sandboxId: await resolveSandboxId(control, options.sandbox) },
  );
  if (options.json) printJson(snapshots.map((each) => ({ name: snapshotName(each), ...each })));
  else print(renderTable(COLUMNS, snapshots));
}

const COLUMNS: Column<SnapshotListing>[] = [
  { title: 'name', value: snapshotName },
  { title: 'sandbox', value: ({ sandboxID }) => sandboxID },
  { title: 'created', value: ({ createdAt }) => formatTime(createdAt) },
];
