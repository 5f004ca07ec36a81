import { SandboxError } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { connectionOf } from '../connect.ts';
import { print, printJson } from '../text/print.ts';
import { quoteForShell } from '../text/quote.ts';

export function declare(command: Command) {
  command
    .option('--json', 'print JSON')
    .addHelpText('after', '\nFor a shell: eval "$(sandbox-cli env)"')
    .action(printEnvironment);
}

async function printEnvironment(options: { json?: true }, command: Command) {
  const { apiUrl, sandboxUrl, apiKey, dataRoot } = await connectionOf(command);
  if (apiKey === undefined) {
    throw new SandboxError(
      'unavailable',
      `There is no key for ${apiUrl}: ${dataRoot}/api-key does not exist`,
      {
        hint: 'Start the server with: bash scripts/start.sh, or set E2B_API_KEY.',
      },
    );
  }
  const variables = { E2B_API_URL: apiUrl, E2B_SANDBOX_URL: sandboxUrl, E2B_API_KEY: apiKey };
  if (options.json) return printJson(variables);
  for (const [name, value] of Object.entries(variables)) print(`export ${name}=${quoteForShell(value)}`);
}
