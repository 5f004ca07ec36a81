import { isSandboxId } from '@sandbox-backend/protocol';
import type { Command } from 'commander';
import { connect } from '../connect.ts';
import { resolveSandboxId } from '../resolve-id.ts';
import { parseAddress, relay } from '../ssh/relay.ts';

const LONG_ID = 20;

export function declare(command: Command) {
  command
    .argument('<host>', "the sandbox's id or the beginning of one, with or without .sandbox behind it")
    .option('--address <host:port>', 'where the SSH door is (default: as the server says)')
    .addHelpText('after', "\nFor OpenSSH's ProxyCommand; sandbox-cli ssh-config --install sets that up.")
    .action(proxy);
}

async function proxy(host: string, options: { address?: string }, command: Command) {
  const name = host.replace(/\.sandbox$/, '');
  // A whole id needs no question to the API, which takes a key.
  const isWhole = isSandboxId(name) && name.length >= LONG_ID;
  const id = isWhole ? name : await resolveSandboxId((await connect(command)).control, name);
  await relay(options.address ? parseAddress(options.address) : await askForDoor(command), id);
}

async function askForDoor(command: Command) {
  const { control, connection } = await connect(command);
  const { findDoor } = await import('../ssh/prepare.ts');
  return findDoor(control, connection.apiUrl);
}
