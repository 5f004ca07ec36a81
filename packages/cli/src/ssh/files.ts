import { homedir } from 'node:os';
import { join } from 'node:path';

/** Ours are in a folder of their own beside the user's. */
export type SshFiles = {
  folder: string;
  key: string;
  knownHosts: string;
  config: string;
  userConfig: string;
};

export function sshFiles(home = homedir()): SshFiles {
  const folder = join(home, '.ssh', 'sandbox-backend');
  return {
    folder,
    key: join(folder, 'id_ed25519'),
    knownHosts: join(folder, 'known_hosts'),
    config: join(folder, 'config'),
    userConfig: join(home, '.ssh', 'config'),
  };
}
