import assert from 'node:assert/strict';
import { connect, createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { Sandbox } from 'e2b';
import { ensureDefaultTemplate, startServer, type TestServer } from '../harness/server.ts';

/** Exits with 0 only when a TCP connection was made within two seconds. */
const dial = (address: string, port: number) =>
  `python3 -c "import socket; socket.create_connection(('${address}', ${port}), 2); print('reached')"`;

/** Dials all at once, and prints those that were reached. */
const dialAll = (targets: unknown[][]) => `
import json, socket
from concurrent.futures import ThreadPoolExecutor
def dial(target):
    try:
        socket.create_connection(tuple(target), 2)
        print('reached', *target)
    except OSError:
        pass
targets = json.loads('${JSON.stringify(targets)}')
with ThreadPoolExecutor(20) as pool:
    list(pool.map(dial, targets))
print('tried', len(targets))
`;

const reaches = (host: string, port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });

describe('a hostile guest', () => {
  let server: TestServer;
  let hostService: Server;
  let hostPort: number;
  let one: Sandbox;
  let two: Sandbox;

  before(async () => {
    ensureDefaultTemplate();
    // Every door as open as it can be made.
    server = await startServer({
      SANDBOX_SEED_CONTROL_LISTEN: '0.0.0.0:0',
      SANDBOX_SEED_PROXY_LISTEN: '0.0.0.0:0',
      SANDBOX_SSH_LISTEN: '0.0.0.0:0',
      SANDBOX_SEED_CLIENTS: '0.0.0.0/0',
    });
    Object.assign(process.env, server.env);
    hostService = createServer((socket) => socket.on('error', () => {}).end('host')).listen(0, '0.0.0.0');
    await new Promise((resolve) => hostService.once('listening', resolve));
    const address = hostService.address();
    hostPort = typeof address === 'object' && address ? address.port : 0;
    [one, two] = await Promise.all([
      Sandbox.create('default-sandbox', { timeoutMs: 600_000 }),
      Sandbox.create('default-sandbox', { timeoutMs: 600_000 }),
    ]);
  });
  after(async () => {
    await Promise.all([one?.kill(), two?.kill()]);
    hostService?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const status = async () =>
    (await (await fetch(`${server.apiUrl}/status`, { headers: { 'X-API-KEY': server.apiKey } })).json()) as {
      sandboxes: { sandboxId: string; address: string }[];
    };

  test('reaches no service of the host, by any of its addresses', async () => {
    const addresses = Object.values(networkInterfaces())
      .flatMap((rows) => rows ?? [])
      .filter((row) => row.family === 'IPv4' && !row.internal)
      .map((row) => row.address);
    assert.ok(addresses.length > 0);
    const doors = [server.seedControlAddress, server.seedProxyUrl, server.sshAddress];
    const ports = [hostPort, ...doors.map((door) => Number(/:(\d+)$/.exec(door)?.[1]))];
    for (const port of ports) assert.ok(await reaches('127.0.0.1', port), `nothing listens at ${port}`);
    const targets = [...new Set([...addresses, '169.254.0.22'])].flatMap((address) =>
      ports.map((port) => [address, port]),
    );
    await one.files.write('/tmp/dial.py', dialAll(targets));
    const { stdout } = await one.commands.run('python3 /tmp/dial.py', { timeoutMs: 120_000 });
    assert.equal(stdout, `tried ${targets.length}\n`);
  });

  test('reaches no other guest', async () => {
    const other = (await status()).sandboxes.find((row) => row.sandboxId === two.sandboxId)!;
    const { exitCode, stdout } = await one.commands.run(dial(other.address, 49983)).catch((error) => error);
    assert.notEqual(exitCode, 0, `the guest at ${other.address}: ${JSON.stringify(stdout)}`);
  });

  test('reaches no private range and no metadata service', async () => {
    for (const address of ['10.0.0.1', '172.16.0.1', '192.168.0.1', '169.254.169.254', '100.64.0.1']) {
      const { exitCode } = await one.commands.run(dial(address, 80)).catch((error) => error);
      assert.notEqual(exitCode, 0, address);
    }
  });

  test('cannot give itself another identity: envd takes orders from the host alone', async () => {
    const { stdout } = await one.commands.run(
      `curl -s -o /dev/null -w '%{http_code}' -X POST -H 'content-type: application/json' -d '{"accessToken":"mine"}' http://127.0.0.1:49983/init`,
      { user: 'root' },
    );
    assert.match(stdout, /^4\d\d$/);
    assert.equal((await one.commands.run('echo still mine')).stdout, 'still mine\n');
  });

  test('the data plane asks for the token of the sandbox, and passes no order for envd on', async () => {
    const headers = { 'E2b-Sandbox-Id': one.sandboxId, 'E2b-Sandbox-Port': '49983' };
    const listing = await fetch(`${server.sandboxUrl}/process.Process/List`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: '{}',
    });
    assert.equal(listing.status, 401);
    for (const path of ['/init', '//init', '/%69nit', '/x/../init', '/start', '/tunnel?port=22']) {
      const response = await fetch(`${server.sandboxUrl}${path}`, { method: 'POST', headers, body: '{}' });
      assert.equal(response.status, 404, path);
    }
  });

  test('a service of the guest is reached through the data plane, bound to loopback or not', async () => {
    for (const [bind, port] of [
      ['0.0.0.0', 8000],
      ['127.0.0.1', 8001],
    ] as const) {
      await one.commands.run(
        `cd /tmp && echo port-${port} > p${port} && python3 -m http.server --bind ${bind} ${port}`,
        { background: true },
      );
      const headers = { 'E2b-Sandbox-Id': one.sandboxId, 'E2b-Sandbox-Port': String(port) };
      let text = '';
      for (let round = 0; round < 30 && !text.includes(`port-${port}`); round++) {
        text = await (await fetch(`${server.sandboxUrl}/p${port}`, { headers })).text();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.equal(text, `port-${port}\n`, bind);
    }
    const closed = await fetch(server.sandboxUrl, {
      headers: { 'E2b-Sandbox-Id': one.sandboxId, 'E2b-Sandbox-Port': '9999' },
    });
    assert.equal(closed.status, 502);
    assert.deepEqual(await closed.json(), {
      sandboxId: one.sandboxId,
      message: 'The sandbox is running but port is not open',
      port: 9999,
      code: 502,
    });
  });

  test('without internet access not even a name is looked up', async () => {
    const offline = await Sandbox.create('default-sandbox', { allowInternetAccess: false });
    try {
      const { exitCode } = await offline.commands
        .run(
          `python3 -c "import socket; socket.setdefaulttimeout(3); socket.gethostbyname('deb.debian.org')"`,
          { timeoutMs: 60_000 },
        )
        .catch((error) => error);
      assert.notEqual(exitCode, 0);
    } finally {
      await offline.kill();
    }
  });
});
