import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { hostname, userInfo } from 'node:os';
import { writeFileAtomic } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Control, SshDoor } from '@sandbox-backend/sdk';
import type { SshFiles } from './files.ts';
import { runSshTool } from './run-ssh-tool.ts';

export type SshSetup = {
  files: SshFiles;
  host: string;
  port: number;
  /** The name under which the server's key is known. */
  alias: string;
};

/**
 * Makes all that OpenSSH needs to enter this server's sandboxes: a key pair of our own, once, which the server
 * knows, and the server's key in a known_hosts file of our own. Can be done again and again.
 *
 * Errors: `failed_precondition` without OpenSSH or when the server has no SSH door.
 */
export async function prepareSsh(control: Control, apiUrl: string, files: SshFiles): Promise<SshSetup> {
  const { hostKey, host, port } = await findDoor(control, apiUrl);
  await mkdir(files.folder, { recursive: true, mode: 0o700 });
  await ensureKey(files);
  await registerKey(control, (await readFile(`${files.key}.pub`, 'utf8')).trim());
  const alias = `sandbox-backend-${host.replaceAll(':', '.')}-${port}`;
  await pinHostKey(files.knownHosts, alias, hostKey);
  return { files, host, port, alias };
}

/** The SSH door, with the host by which it is reached from here. Errors: `failed_precondition`. */
export async function findDoor(control: Control, apiUrl: string): Promise<SshDoor> {
  const door = await control.sshDoor();
  if (door) return { ...door, host: hostOf(door, apiUrl) };
  throw new SandboxError('failed_precondition', `The server at ${apiUrl} has no SSH door`);
}

async function ensureKey({ key }: SshFiles): Promise<void> {
  if (existsSync(key) && existsSync(`${key}.pub`)) return;
  if (existsSync(key)) {
    throw new SandboxError('failed_precondition', `${key}.pub is missing`, {
      hint: `Make it again with: ssh-keygen -y -f ${key} > ${key}.pub, or remove ${key}.`,
    });
  }
  const comment = `${userInfo().username}@${hostname()} sandbox-cli`;
  const status = await runSshTool('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', key]);
  if (status !== 0) throw new SandboxError('internal', `ssh-keygen ended with status ${status}`);
}

async function registerKey(control: Control, publicKey: string): Promise<void> {
  try {
    await control.addSshKey(publicKey);
  } catch (caught) {
    if (!(caught instanceof SandboxError && caught.code === 'already_exists')) throw caught;
  }
}

/** The address that the door listens on; where that is any, or loopback of another machine, the API's host. */
function hostOf(door: Pick<SshDoor, 'host'>, apiUrl: string): string {
  const anywhere = ['0.0.0.0', '::'].includes(door.host);
  const loopback = door.host === '::1' || door.host.startsWith('127.');
  return anywhere || loopback ? new URL(apiUrl).hostname.replace(/^\[|\]$/g, '') : door.host;
}

async function pinHostKey(file: string, alias: string, hostKey: string): Promise<void> {
  if (!/^ssh-ed25519 [A-Za-z0-9+/]+=*$/.test(hostKey)) {
    throw new SandboxError('internal', 'The server did not tell a host key');
  }
  const kept = existsSync(file) ? (await readFile(file, 'utf8')).split('\n') : [];
  const others = kept.filter((line) => line !== '' && !line.startsWith(`${alias} `));
  await writeFileAtomic(file, `${[...others, `${alias} ${hostKey}`].join('\n')}\n`, { mode: 0o600 });
}
