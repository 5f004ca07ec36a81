import { askEnvd } from '../tunnel.ts';
import { joinChannel } from './join-channel.ts';
import type { Visitor } from './visitor.ts';

/**
 * `ssh -L` and `-D`: connections from the client to ports of the sandbox itself. envd opens them on the guest's
 * loopback, and refuses its own ports.
 */
export function forwardLocal(visitor: Visitor): void {
  const { client, route, gone, channels, tunnelPort } = visitor;
  client.on('tcpip', (accept, reject, { destIP, destPort }) => {
    if (!isSandboxItself(destIP, route.sandboxId) || !channels.take()) return reject?.();
    const open = async () => {
      const opened = await askEnvd(route, `CONNECT ${destPort}`, gone, tunnelPort);
      if (!opened) return reject?.();
      await joinChannel(visitor, accept(), opened.socket);
    };
    visitor.work(open().finally(() => channels.give()));
  });
}

function isSandboxItself(host: string, sandboxId: string): boolean {
  const name = host.toLowerCase();
  return (
    ['localhost', '::1', 'ip6-localhost', '0.0.0.0', '::', sandboxId, `${sandboxId}.sandbox`].includes(
      name,
    ) || /^127(?:\.\d{1,3}){3}$/.test(name)
  );
}
