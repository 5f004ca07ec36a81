import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { connect } from '../../connect.ts';
import { isCalled, templateName } from '../../template-name.ts';
import { print, printJson } from '../../text/print.ts';
import { formatMebibytes } from '../../text/size.ts';
import { renderFields } from '../../text/table.ts';
import { formatTime } from '../../text/time.ts';

export function declare(command: Command) {
  command.argument('<name>').option('--json', 'print JSON').action(inspectTemplate);
}

async function inspectTemplate(name: string, options: { json?: true }, command: Command) {
  const { control } = await connect(command);
  const template = (await control.listTemplates()).find((each) => isCalled(each, name));
  if (!template) {
    throw new SandboxError('not_found', `There is no template ${name}`, {
      hint: 'sandbox-cli template ls lists them.',
    });
  }
  if (options.json) return printJson(template);
  print(
    renderFields({
      name: templateName(template),
      id: template.templateID,
      build: template.buildID,
      builds: template.buildCount === undefined ? undefined : String(template.buildCount),
      cpus: template.cpuCount === undefined ? undefined : String(template.cpuCount),
      memory: formatMebibytes(template.memoryMB),
      disk: formatMebibytes(template.diskSizeMB),
      created: formatTime(template.createdAt),
      built: formatTime(template.updatedAt),
      envd: template.envdVersion,
    }),
  );
}
