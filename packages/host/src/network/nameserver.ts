import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';

const FALLBACK = '1.1.1.1';

/**
 * Where guests' queries go: the first IPv4 name server of this host that is not a loopback stub.
 * Behind a stub (127.0.0.53), systemd-resolved keeps the true ones in a file of its own.
 */
export async function findNameserver(
  files = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'],
): Promise<string> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return pickNameserver(texts);
}

export function pickNameserver(resolvConfs: readonly string[]): string {
  const servers = resolvConfs
    .flatMap((text) => text.split('\n'))
    .flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
  return servers.find((server) => isIPv4(server) && !/^(127|0|169\.254)\./.test(server)) ?? FALLBACK;
}
