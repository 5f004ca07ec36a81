import type { Envd } from '@sandbox-backend/sdk';

export type GuestUser = { name: string; shell: string };

const LARGEST_PASSWD_BYTES = 1024 * 1024;
/** envd runs the best that the image has in its place where there is none. */
const FALLBACK_SHELL = '/bin/bash';

/** Who the user is, by its name or as the sandbox's default one. Never fails: what is wrong shows when a program starts. */
export async function findGuestUser(envd: Envd, name: string | undefined): Promise<GuestUser> {
  try {
    const found = name ?? (await envd.stat('~'))?.owner ?? '';
    return { name: found, shell: (await readShell(envd, found)) ?? FALLBACK_SHELL };
  } catch {
    return { name: name ?? '', shell: FALLBACK_SHELL };
  }
}

async function readShell(envd: Envd, name: string): Promise<string | undefined> {
  const shell = parseShell(await readPasswd(envd), name);
  // An image may name a shell that it does not have.
  return shell && (await envd.stat(shell)) ? shell : undefined;
}

async function readPasswd(envd: Envd): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of (await envd.read('/etc/passwd')) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LARGEST_PASSWD_BYTES) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The last field of the user's line in passwd(5), when it is a path. */
export function parseShell(passwd: string, name: string): string | undefined {
  for (const line of passwd.split('\n')) {
    const fields = line.split(':');
    if (fields[0] !== name || fields.length < 7) continue;
    const shell = fields[6]!.trim();
    return shell.startsWith('/') ? shell : undefined;
  }
  return undefined;
}
