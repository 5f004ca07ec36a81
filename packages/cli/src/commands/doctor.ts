import { styleText } from 'node:util';
import type { Command } from 'commander';
import { connectionOf } from '../connect.ts';
import type { Finding } from '../doctor/finding.ts';
import { inspectThisHost } from '../doctor/inspect-host.ts';
import { inspectServer } from '../doctor/inspect-server.ts';
import { print, printJson } from '../text/print.ts';
import { printable } from '../text/printable.ts';

export function declare(command: Command) {
  command
    .option('--json', 'print JSON')
    .addHelpText('after', '\nThe exit status is 1 when a check fails; a warning is no failure.')
    .action(diagnose);
}

async function diagnose(options: { json?: true }, command: Command) {
  const connection = await connectionOf(command);
  const host = await inspectThisHost(connection.dataRoot);
  const { serverPid, findings: server } = await inspectServer(connection);
  const findings = [...host, ...server];
  const ok = findings.every(({ status }) => status !== 'fail');
  if (options.json) printJson({ ok, serverPid, findings });
  else findings.forEach(printFinding);
  process.exitCode = ok ? 0 : 1;
}

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

function printFinding({ id, status, detail, fix }: Finding) {
  const label = styleText(COLOURS[status], status.padEnd(4), { stream: process.stdout });
  print(`${label}  ${printable(id)}: ${printable(detail)}`);
  if (fix && status !== 'ok') print(`      fix: ${printable(fix)}`);
}
