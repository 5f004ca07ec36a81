import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Sandbox } from 'e2b';
import { ensureDefaultTemplate, startServer, type TestServer } from '../harness/server.ts';

const MIB = 2 ** 20;

// Only what a limit must at least take is checked: how long things take beside it is the machine's affair.
describe('with limits for disk and network', () => {
  let server: TestServer;
  let sandbox: Sandbox;
  before(async () => {
    ensureDefaultTemplate();
    server = await startServer({ SANDBOX_DISK_LIMIT_MIB: '4', SANDBOX_NETWORK_LIMIT_MBIT: '16' });
    Object.assign(process.env, server.env);
    sandbox = await Sandbox.create('default-sandbox', { timeoutMs: 600_000 });
  });
  after(async () => {
    await sandbox?.kill();
    await server?.[Symbol.asyncDispose]();
  });

  const seconds = async (work: () => Promise<unknown>) => {
    const start = performance.now();
    await work();
    return (performance.now() - start) / 1000;
  };

  test('a guest writes its disk no faster than it may', async () => {
    const command = 'dd if=/dev/zero of=/var/tmp/large bs=1M count=20 conv=fsync 2>&1';
    const took = await seconds(() => sandbox.commands.run(command, { user: 'root', timeoutMs: 120_000 }));
    assert.ok(took > 3, `20 MiB at 4 MiB/s took ${took} s`);
  });

  test('a guest sends and is sent no faster than it may', async () => {
    const bytes = Buffer.alloc(8 * MIB, 1);
    const up = await seconds(() => sandbox.files.write('/dev/shm/large', new Blob([bytes])));
    assert.ok(up > 3, `8 MiB to the guest at 2 MB/s took ${up} s`);
    const down = await seconds(() => sandbox.files.read('/dev/shm/large', { format: 'bytes' }));
    assert.ok(down > 3, `8 MiB from the guest at 2 MB/s took ${down} s`);
  });
});
