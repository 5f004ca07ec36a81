import { BlockList } from 'node:net';
import { startSeedControl } from '../dialects/seed/start-seed-control.ts';
import { seedClient } from './seed-client.ts';
import { openTestApi } from './test-api.ts';

/** A control plane in memory behind the seed's door, and a client of it. */
export async function openSeed(options: Parameters<typeof openTestApi>[0] & { networks?: string[] } = {}) {
  await using held = new AsyncDisposableStack();
  const api = held.use(await openTestApi(options));
  const clients = new BlockList();
  for (const network of options.networks ?? ['127.0.0.0/8']) {
    const [address, bits] = network.split('/') as [string, string];
    clients.addSubnet(address, Number(bits), address.includes(':') ? 'ipv6' : 'ipv4');
  }
  const control = await startSeedControl({
    listen: { host: '127.0.0.1', port: 0 },
    clients,
    deps: api.deps,
    teamId: api.team.id,
  });
  held.defer(() => control.close());
  const client = held.use(seedClient(`127.0.0.1:${control.address.port}`));
  const owned = held.move();
  return { ...client, api, node: api.node, control, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
