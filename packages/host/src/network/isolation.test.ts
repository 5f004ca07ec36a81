import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import test from 'node:test';
import { run } from '@sandbox-backend/kit';
import { GUEST, slotAddresses } from './addresses.ts';
import {
  isRoot,
  OUTSIDE,
  operation,
  outside,
  poolWithGuests,
  reach,
  scratch,
  serve,
  testPrefix,
} from './testing.ts';

const skip = isRoot ? false : 'network slots need root: isolation was NOT tested';

/** A service of this host, on every address it has. */
async function hostService() {
  const server = createServer((_, response) => response.end('host')).listen(0, '0.0.0.0');
  await once(server, 'listening');
  return Object.assign(server, { port: (server.address() as AddressInfo).port });
}

const fetchText = (url: string) =>
  fetch(url, { signal: AbortSignal.timeout(5000) }).then((answer) => answer.text());

test('a guest reaches the internet and its name server, and nothing else', { skip }, async () => {
  const prefix = testPrefix();
  await using folder = await scratch();
  await using internet = await outside(prefix);
  await using slots = await poolWithGuests(prefix, {
    stateDir: folder.path,
    egressInterface: internet.interface,
  });
  const one = await slots.leaseGuest();
  const other = await slots.leaseGuest();
  await using slot = one.slot;
  await using otherSlot = other.slot;
  await using _guestServer = await serve(one.guest, 9000);
  await using _otherServer = await serve(other.guest, 9000);
  await using host = await hostService();

  // Everything that must not be reached does answer: to this host.
  const { address } = slot.ref;
  const hostSide = (ref = slot.ref) => slotAddresses('10.213.0.0/24', ref.index).host;
  // Whichever slot it is in, a guest knows the host by one address.
  assert.equal(await fetchText(`http://${address}:9000/`), GUEST.gateway);
  assert.equal(await fetchText(`http://${otherSlot.ref.address}:9000/`), GUEST.gateway);
  assert.equal(await fetchText(`http://${OUTSIDE.lan}:8080/`), OUTSIDE.host);
  assert.equal(await fetchText(`http://${OUTSIDE.metadata}:8080/`), OUTSIDE.host);
  const hostAddresses = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, address }) => family === 'IPv4' && !address.startsWith('127.'))
    .map(({ address }) => address);
  assert.ok(hostAddresses.includes(hostSide()) && hostAddresses.includes(OUTSIDE.host));
  for (const address of hostAddresses)
    assert.equal(await fetchText(`http://${address}:${host.port}/`), 'host');

  const open = {
    [`tcp:${OUTSIDE.public}:8080`]: OUTSIDE.host, // behind this host's address
    'udp:169.254.0.22:53': 'pong',
    [`udp:${OUTSIDE.nameserver}:53`]: 'pong',
  };
  const closed = [
    ...hostAddresses.map((address) => `tcp:${address}:${host.port}`),
    `tcp:169.254.0.22:${host.port}`,
    `tcp:${otherSlot.ref.address}:9000`,
    `udp:${otherSlot.ref.address}:53`,
    `tcp:${OUTSIDE.lan}:8080`,
    `udp:${OUTSIDE.lan}:53`,
    `tcp:${OUTSIDE.metadata}:8080`,
    `tcp:${OUTSIDE.nameserver}:8080`,
  ];
  const nothing = Object.fromEntries(closed.map((target) => [target, undefined]));
  const reached = await reach(one.guest, [...Object.keys(open), ...closed]);
  assert.deepEqual({ ...nothing, ...reached }, { ...nothing, ...open });

  // Nor does anybody but this host reach a guest.
  assert.deepEqual(await reach(internet.namespace, [`tcp:${address}:9000`]), {});
  assert.deepEqual(await reach(other.guest, [`tcp:${address}:9000`]), {});

  // The host's rules hold by themselves too: here a slot's own rules are gone.
  await run('ip', ['netns', 'exec', slot.ref.namespace, 'nft', '-f', '-'], {
    input: `flush chain inet slot from_guest
add rule inet slot from_guest accept
flush chain inet slot output
add rule inet slot output accept
chain inet slot input { policy accept; }
chain inet slot output { policy accept; }
`,
  });
  const closedByHost = closed.filter((target) => !target.startsWith('tcp:169.254.0.22:'));
  assert.deepEqual(await reach(one.guest, closedByHost), {});
  assert.equal(
    (await reach(one.guest, [`tcp:${OUTSIDE.public}:8080`]))[`tcp:${OUTSIDE.public}:8080`],
    OUTSIDE.host,
  );
  assert.deepEqual(await reach(slot.ref.namespace, closedByHost), {}); // a VMM that was taken over
});

test('a guest without internet reaches nothing, and is still reached by this host', { skip }, async () => {
  const prefix = testPrefix();
  await using folder = await scratch();
  await using internet = await outside(prefix);
  await using slots = await poolWithGuests(prefix, {
    stateDir: folder.path,
    egressInterface: internet.interface,
  });
  const { slot: leased, guest } = await slots.leaseGuest();
  await using slot = leased;
  await using _server = await serve(guest, 9000);
  const targets = [
    `tcp:${OUTSIDE.public}:8080`,
    'udp:169.254.0.22:53',
    `udp:${OUTSIDE.nameserver}:53`,
  ] as const;

  await slot.allowInternet(operation(), false);
  assert.deepEqual(await reach(guest, targets), {});
  await fetchText(`http://${slot.ref.address}:9000/`);
  await slot.allowInternet(operation(), true);
  assert.deepEqual(Object.values(await reach(guest, targets)), [OUTSIDE.host, 'pong', 'pong']);
});

test('a host without a default route gives no internet, and slots all the same', { skip }, async () => {
  const prefix = testPrefix();
  await using folder = await scratch();
  await using internet = await outside(prefix);
  await using slots = await poolWithGuests(prefix, { stateDir: folder.path, egressInterface: 'nowhere0' });
  const { slot: leased, guest } = await slots.leaseGuest();
  await using slot = leased;
  await using _server = await serve(guest, 9000);
  assert.ok(internet.namespace);
  assert.deepEqual(await reach(guest, [`tcp:${OUTSIDE.public}:8080`]), {});
  await fetchText(`http://${slot.ref.address}:9000/`);
});
