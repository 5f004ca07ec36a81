import type { SandboxInfo, ServerStatus } from '@sandbox-backend/sdk';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { reportError } from '../../report-error.ts';
import { ANY_STATE, resolveSandboxId } from '../../resolve-id.ts';
import { print, printJson } from '../../text/print.ts';
import { type Column, renderTable } from '../../text/table.ts';
import { formatEnd, formatTime } from '../../text/time.ts';

type Options = { all?: true; json?: true };
type Row = SandboxInfo & { address?: string; pid?: number };

export function declare(command: Command) {
  command
    .argument('[ids...]', 'only these')
    .option('-a, --all', 'those that are paused as well')
    .option('--json', 'print JSON')
    .action(listSandboxes);
}

async function listSandboxes(ids: string[], options: Options, command: Command) {
  const { control } = await connect(command);
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

/** Address and process id, where the server tells them. */
function addMachines(sandboxes: readonly SandboxInfo[], status: ServerStatus | undefined): Row[] {
  const machines = new Map(status?.sandboxes?.map((machine) => [machine.sandboxId, machine]));
  return sandboxes.map((sandbox) => {
    const machine = machines.get(sandbox.sandboxID);
    return machine ? { ...sandbox, address: machine.address, pid: machine.pid } : sandbox;
  });
}

const withoutToken = ({ envdAccessToken: _, ...row }: Row) => row;

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
  ];
}
