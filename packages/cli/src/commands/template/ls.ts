import type { TemplateListing } from '@sandbox-backend/sdk';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { templateName } from '../../template-name.ts';
import { print, printJson } from '../../text/print.ts';
import { formatMebibytes } from '../../text/size.ts';
import { type Column, renderTable } from '../../text/table.ts';
import { formatTime } from '../../text/time.ts';

export function declare(command: Command) {
  command.option('--json', 'print JSON').action(listTemplates);
}

async function listTemplates(options: { json?: true }, command: Command) {
  const { control } = await connect(command);
  const templates = await control.listTemplates();
  if (options.json) printJson(templates);
  else print(renderTable(COLUMNS, templates));
}

const COLUMNS: Column<TemplateListing>[] = [
  { title: 'name', value: templateName },
  { title: 'build', value: ({ buildID }) => buildID ?? '-' },
  { title: 'cpus', value: ({ cpuCount }) => String(cpuCount ?? '-'), align: 'right' },
  { title: 'memory', value: ({ memoryMB }) => formatMebibytes(memoryMB), align: 'right' },
  { title: 'disk', value: ({ diskSizeMB }) => formatMebibytes(diskSizeMB), align: 'right' },
  { title: 'built', value: ({ updatedAt, createdAt }) => formatTime(updatedAt ?? createdAt) },
];
