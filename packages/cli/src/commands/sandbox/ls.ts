import { type Orphan, SandboxError } from '@sandbox-backend/protocol';
import type { Control, SandboxInfo, ServerStatus } from '@sandbox-backend/sdk';
import { type Command, Option } from 'commander';
import { connect } from '../../connect.ts';
import { reportError } from '../../report-error.ts';
import { ANY_STATE, resolveSandboxId } from '../../resolve-id.ts';
import { print, printJson } from '../../text/print.ts';
import { type Column, renderTable } from '../../text/table.ts';
import { formatEnd, formatTime } from '../../text/time.ts';

type Options = { all?: true; orphan?: true; json?: true };
type Row = SandboxInfo & { address?: string; pid?: number; slotIndex?: number; diffSnapshots?: boolean };

export function declare(command: Command) {
  command
    .argument('[ids...]', 'only these')
    .option('-a, --all', 'those that are paused as well')
    .addOption(
      new Option('--orphan', 'machines that nobody looks after, instead of sandboxes').conflicts('all'),
    )
    .option('--json', 'print JSON')
    .action(listSandboxes);
}

async function listSandboxes(ids: string[], options: Options, command: Command) {
  const { control } = await connect(command);
  if (options.orphan) return listOrphans(control, ids, options);
  const found: SandboxInfo[] = [];
  if (ids.length === 0) {
    found.push(...(await control.listSandboxes({ states: options.all ? ANY_STATE : ['running'] })));
  }
  for (const id of ids) {
    try {
      found.push(await control.getSandbox(await resolveSandboxId(control, id)));
    } catch (caught) {
      process.exitCode = reportError(caught, { json: options.json === true, verbose: false });
    }
  }
  const rows = addMachines(found, await control.status());
  if (options.json) printJson(rows.map(withoutToken));
  else print(renderTable(columnsFor(rows), rows));
}

async function listOrphans(control: Control, ids: string[], options: Options) {
  if (ids.length > 0) throw new SandboxError('invalid_argument', 'Give either ids or --orphan, not both');
  const orphans = await control.listOrphans();
  if (options.json) printJson(orphans);
  else print(renderTable(ORPHAN_COLUMNS, orphans));
}

/** Address and process id, where the server tells them. */
function addMachines(sandboxes: readonly SandboxInfo[], status: ServerStatus | undefined): Row[] {
  const machines = new Map(status?.sandboxes?.map((machine) => [machine.sandboxId, machine]));
  return sandboxes.map((sandbox) => {
    const machine = machines.get(sandbox.sandboxID);
    if (!machine) return sandbox;
    const { sandboxId: _, ...known } = machine;
    return { ...sandbox, ...known };
  });
}

const withoutToken = ({ envdAccessToken: _, pathAddress: __, ...row }: Row) => row;

function columnsFor(rows: readonly Row[]): Column<Row>[] {
  const machine: Column<Row>[] = [
    { title: 'address', value: ({ address }) => address ?? '-' },
    { title: 'pid', value: ({ pid }) => String(pid ?? '-') },
  ];
  return [
    { title: 'id', value: ({ sandboxID }) => sandboxID },
    { title: 'template', value: ({ alias, templateID }) => alias ?? templateID },
    { title: 'state', value: ({ state }) => state },
    ...(rows.some(({ pid }) => pid !== undefined) ? machine : []),
    { title: 'started', value: ({ startedAt }) => formatTime(startedAt) },
    { title: 'ends', value: ({ endAt }) => formatEnd(endAt) },
    ...(rows.some(({ diffSnapshots }) => diffSnapshots) ? [DIFF] : []),
  ];
}

/** Said at the creation of a sandbox by the seed's clients only. */
const DIFF: Column<Row> = {
  title: 'diffsnapshot',
  value: ({ diffSnapshots }) => (diffSnapshots ? 'true' : 'false'),
};

const ORPHAN_COLUMNS: Column<Orphan>[] = [
  { title: 'id', value: ({ sandboxId }) => sandboxId },
  { title: 'template', value: ({ template }) => template },
  { title: 'state', value: () => 'orphan' },
  { title: 'pid', value: ({ pid }) => String(pid ?? '-') },
  { title: 'network', value: ({ slotIndex }) => String(slotIndex) },
  { title: 'started', value: ({ startedAt }) => formatTime(startedAt) },
];
