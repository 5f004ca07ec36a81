import { readFile, writeFile } from 'node:fs/promises';
import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';

const SETTING = '/proc/sys/net/ipv4/ip_forward';

/** Guests' packets pass through this host, so it must forward. */
export async function enableForwarding(): Promise<void> {
  try {
    if ((await readFile(SETTING, 'utf8')).trim() !== '0') return;
    await writeFile(SETTING, '1');
    log('info', 'network.forwarding', { message: 'net.ipv4.ip_forward was 0 and is now 1' });
  } catch (cause) {
    throw new SandboxError('failed_precondition', 'net.ipv4.ip_forward is off and cannot be turned on', {
      cause,
      hint: 'Run as root: sysctl -w net.ipv4.ip_forward=1',
    });
  }
}
