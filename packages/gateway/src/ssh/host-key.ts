import { chmod, readFile } from 'node:fs/promises';
import { writeFileAtomic } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import ssh2 from 'ssh2';

export type HostKey = {
  /** In OpenSSH's format. */
  privateKey: string;
  /** As in a known_hosts file: algorithm and base64. */
  publicKey: string;
};

/**
 * The key by which clients know this server: made at the first start and kept in `file` (mode 0600).
 * Errors: `failed_precondition` when the file holds anything but an unencrypted ed25519 key.
 */
export async function openHostKey(file: string): Promise<HostKey> {
  const kept = await readOptional(file);
  if (kept === undefined) {
    const privateKey = ssh2.utils.generateKeyPairSync('ed25519', { comment: 'sandbox-backend' }).private;
    await writeFileAtomic(file, privateKey, { mode: 0o600, sync: true });
    return parse(file, privateKey);
  }
  const key = parse(file, kept);
  await chmod(file, 0o600);
  return key;
}

function parse(file: string, privateKey: string): HostKey {
  const parsed = ssh2.utils.parseKey(privateKey);
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key instanceof Error || !key?.isPrivateKey() || key.type !== 'ssh-ed25519') {
    throw new SandboxError(
      'failed_precondition',
      `${file} is not a private ed25519 key without a passphrase`,
      {
        hint: 'Put the right file back, or remove it: clients will then be warned that the host key has changed.',
      },
    );
  }
  return { privateKey, publicKey: `ssh-ed25519 ${key.getPublicSSH().toString('base64')}` };
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw caught;
  }
}
