import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Control } from '@sandbox-backend/sdk';
import type { Command } from 'commander';
import { connect } from '../connect.ts';
import { type SshFiles, sshFiles } from '../ssh/files.ts';
import { installConfig, uninstallConfig } from '../ssh/install-config.ts';
import { prepareSsh } from '../ssh/prepare.ts';
import { renderConfig } from '../ssh/render-config.ts';
import { note, print } from '../text/print.ts';

export function declare(command: Command) {
  command
    .option('--install', 'have ~/.ssh/config include it')
    .option('--uninstall', 'take it out of ~/.ssh/config, and remove the key')
    .addHelpText(
      'after',
      '\nPrints what OpenSSH needs for ssh root@ID, and makes the key and the known host that this names.',
    )
    .action(configure);
}

async function configure(options: { install?: true; uninstall?: true }, command: Command) {
  const files = sshFiles();
  const { control, connection } = await connect(command);
  if (options.uninstall) {
    const forgotten = await forgetKey(control, files).catch(() => false);
    const removed = await uninstallConfig(files);
    if (!forgotten) note('The server was not told to forget the key.');
    print(removed ? 'Sandboxes are no longer in your SSH settings.' : 'Nothing was installed.');
    return;
  }
  const config = renderConfig(await prepareSsh(control, connection.apiUrl, files));
  if (!options.install) return print(config.trimEnd());
  const changed = await installConfig(files, config);
  print(`${files.userConfig} ${changed ? 'now includes' : 'includes'} ${files.config}. Try: ssh root@ID`);
}

/** True when the server does not let our key in any more. */
async function forgetKey(control: Control, { key }: SshFiles): Promise<boolean> {
  if (!existsSync(`${key}.pub`)) return true;
  const [algorithm, data] = (await readFile(`${key}.pub`, 'utf8')).split(' ');
  const ours = (await control.listSshKeys()).find(({ publicKey }) => publicKey === `${algorithm} ${data}`);
  if (ours) await control.removeSshKey(ours.id);
  return true;
}
