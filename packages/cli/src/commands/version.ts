import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { print, printJson } from '../text/print.ts';

export function declare(command: Command) {
  command.option('--json', 'print JSON').action(showVersion);
}

async function showVersion(options: { json?: true }) {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  if (options.json) printJson({ version, node: process.versions.node });
  else print(`sandbox-cli ${version}`);
}
