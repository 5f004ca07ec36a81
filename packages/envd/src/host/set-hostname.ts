import { readFileSync, writeFileSync } from 'node:fs';
import { SandboxError } from '@sandbox-backend/protocol';
import { logLine } from '../log.ts';

const HOSTNAME = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
const MARK = '# envd';

/** Names the machine, and has the name lead to it: `sudo` looks the name up, and would ask a name server that may not be there. */
export function setHostname(hostname: string): void {
  if (!HOSTNAME.test(hostname)) throw new SandboxError('invalid_argument', 'hostname is not a host name');
  writeFileSync('/proc/sys/kernel/hostname', hostname);
  try {
    const hosts = '/etc/hosts';
    const before = readHosts(hosts);
    const after = withHost(before, hostname);
    if (after !== before) writeFileSync(hosts, after);
  } catch (caught) {
    logLine(`/etc/hosts: ${(caught as Error).message}`); // a read-only image works without it
  }
}

export function withHost(hosts: string, hostname: string): string {
  const kept = hosts.split('\n').filter((line) => line !== '' && !line.endsWith(MARK));
  if (!kept.some((line) => /\slocalhost(\s|$)/.test(line))) kept.push('127.0.0.1\tlocalhost');
  return `${[...kept, `127.0.1.1\t${hostname}\t${MARK}`].join('\n')}\n`;
}

function readHosts(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
