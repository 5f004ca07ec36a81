import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from 'e2b';
import { holdings } from '../harness/leaks.ts';
import { pythonSeedClient, pythonWithGrpc } from '../harness/python-client.ts';
import {
  checkout,
  dataRoot,
  ensureDefaultTemplate,
  hostEnv,
  startServer,
  type TestServer,
} from '../harness/server.ts';

const python = pythonWithGrpc();
const skip = python
  ? false
  : "Python's grpcio is not to be had on this host: the seed's control plane is not tested";

// A server with real machines, and the client that the seed's users have: grpcio's for asyncio.
describe("the seed's control plane", { skip }, () => {
  let server: TestServer;
  let addresses: { seedControlAddress: string; seedProxyUrl: string };
  let client: ReturnType<typeof pythonSeedClient>;
  const patience = { requestTimeoutMs: 300_000 };

  before(async () => {
    ensureDefaultTemplate();
    server = await startServer({ SANDBOX_SPARE_SLOTS: '0' });
    Object.assign(process.env, server.env);
    addresses = JSON.parse(readFileSync(join(dataRoot, 'server.json'), 'utf8'));
    client = pythonSeedClient(python!, addresses.seedControlAddress);
  });
  after(async () => {
    await client?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const create = async (fields: object = {}) => {
    const request = {
      templateID: 'default-sandbox',
      maxInstanceLength: 3,
      sandboxID: randomUUID(),
      ...fields,
    };
    const answer = await client.call('/Sandbox/Create', request);
    assert.equal(answer.code, 'OK', `${answer.details}\n${server.log()}`);
    return answer.response.info;
  };
  const remove = (sandboxID: string) => client.call('/Sandbox/Delete', { sandboxID });
  const ids = async (request: object = {}) =>
    ((await client.call('/Sandbox/List', request)).response.sandboxes ?? []).map(
      (each: { sandboxID: string }) => each.sandboxID,
    );
  /** Through the other door: the same sandbox, as E2B's client finds it. */
  const run = async (sandboxID: string, command: string) => {
    const sandbox = await Sandbox.connect(sandboxID, patience);
    return (await sandbox.commands.run(command, patience)).stdout;
  };

  test('a sandbox is created under its id, found, listed, used and deleted', async () => {
    const sandboxID = randomUUID();
    const metadata = { purpose: 'a "test" & more', empty: '' };
    const info = await create({ sandboxID, metadata, enableDiffSnapshots: true });
    assert.equal(info.sandboxID, sandboxID);
    assert.equal(info.templateID, 'default-sandbox');
    assert.equal(info.state, 'RUNNING');
    assert.equal(info.enableDiffSnapshots, true);
    assert.deepEqual(info.metadata, metadata);
    assert.ok(info.kernelVersion);
    assert.match(info.privateIP, new RegExp(`^${sandboxID}\\.[0-9a-f]{32}$`));
    assert.ok(runs(info.pid), 'the VMM runs');
    assert.ok(Math.abs(Date.parse(info.startTime) - Date.now()) < 120_000);

    const listed = await client.call('/Sandbox/List', {}, { raw: '' });
    assert.deepEqual(listed.response.sandboxes, [info]);
    assert.deepEqual((await client.call('/Sandbox/Search', { sandboxID })).response, { sandbox: info });
    assert.equal(await run(sandboxID, 'echo hello'), 'hello\n');
    const detail = await (await Sandbox.connect(sandboxID, patience)).getInfo();
    const hours = (detail.endAt.getTime() - detail.startedAt.getTime()) / 3600_000;
    assert.ok(Math.abs(hours - 3) < 0.01, `it lives ${hours} h`);

    assert.deepEqual(await remove(sandboxID), { code: 'OK', response: {} });
    assert.ok(!runs(info.pid), 'the VMM has ended when delete answers');
    assert.deepEqual(await ids(), []);
    assert.deepEqual((await client.call('/Sandbox/Search', { sandboxID })).response, {});
    assert.equal((await remove(sandboxID)).code, 'NOT_FOUND');
  });

  test('its path on the data plane is the address that create answered with', async () => {
    const { sandboxID, privateIP } = await create();
    const ping = async (segment: string) =>
      (await fetch(`${addresses.seedProxyUrl}/${segment}/49982/ping`)).status;
    assert.equal(await ping(privateIP), 200);
    assert.notEqual(await ping(sandboxID), 200, 'the id alone opens nothing');
    await remove(sandboxID);
    assert.notEqual(await ping(privateIP), 200);
  });

  test('deactivating tells how much memory came back, and the sandbox runs on', async () => {
    const { sandboxID } = await create();
    const { code, details, response } = await client.call('/Sandbox/Deactive', { sandboxID });
    assert.equal(code, 'OK', details);
    const [before, after] = [Number(response.beforeBytes), Number(response.afterBytes)];
    assert.ok(before > 0 && after > 0, `${before} → ${after}`);
    assert.equal(Number(response.reclaimedBytes ?? 0), Math.max(0, before - after));
    assert.deepEqual((await client.call('/Sandbox/Deactive', { sandboxID }, { asEmpty: true })).response, {});
    assert.equal(await run(sandboxID, 'echo awake'), 'awake\n');
    await remove(sandboxID);
  });

  test('a snapshot has the disk, and starts by the path that it was answered with', async () => {
    const { sandboxID } = await create();
    await run(sandboxID, 'echo kept > /home/user/note; sync');
    const first = await client.call('/Sandbox/Snapshot', { sandboxID });
    assert.equal(first.code, 'OK', first.details);
    const { path } = first.response;
    assert.ok(readdirSync(path).includes('manifest.json'));
    assert.ok((await ids()).includes(sandboxID), 'it runs on');

    const last = await client.call('/Sandbox/Snapshot', { sandboxID, delete: true });
    assert.equal(last.code, 'OK', last.details);
    assert.ok(!(await ids()).includes(sandboxID), 'it is gone');

    for (const templateID of [path, last.response.path]) {
      const copy = await create({ templateID });
      assert.equal(await run(copy.sandboxID, 'cat /home/user/note'), 'kept\n');
      await remove(copy.sandboxID);
      const name = templateID.split('/').at(-3);
      const headers = { 'X-API-KEY': server.apiKey };
      const answer = await fetch(`${server.apiUrl}/templates/${name}`, { method: 'DELETE', headers });
      assert.equal(answer.status, 204);
    }
    assert.ok(!existsSync(path));
  });

  test('what a killed build left is an orphan, and purging it spares the sandboxes', async () => {
    const { sandboxID } = await create();
    const { machines } = holdings();
    await killBuildAtItsBoot();
    const orphans = (await client.call('/Sandbox/List', { orphan: true })).response.sandboxes;
    assert.equal(orphans?.length, 1);
    assert.equal(orphans[0].state, 'ORPHAN');
    assert.equal(orphans[0].templateID, 'default-sandbox');
    assert.ok(runs(orphans[0].pid), 'its VMM runs on');
    const namespace = `/run/netns/${hostEnv.SANDBOX_NETWORK_PREFIX}-${orphans[0].fcNetworkIdx}`;
    assert.ok(existsSync(namespace));
    assert.ok(!(await ids()).includes(orphans[0].sandboxID));

    const wrong = await client.call('/Sandbox/Purge', { SandboxIDs: [orphans[0].sandboxID, sandboxID] });
    assert.equal(wrong.code, 'NOT_FOUND');
    assert.deepEqual(await ids({ orphan: true }), [orphans[0].sandboxID]);
    const purged = await client.call('/Sandbox/Purge', { purgeAll: true });
    assert.deepEqual(purged.response, { success: true, msg: `purged ${orphans[0].sandboxID}` });
    assert.deepEqual(await ids({ orphan: true }), []);
    assert.ok(!runs(orphans[0].pid), 'its VMM has ended when purge answers');
    assert.ok(!existsSync(namespace));
    assert.deepEqual(holdings().machines, machines);
    assert.equal(await run(sandboxID, 'echo spared'), 'spared\n');
    await remove(sandboxID);
  });

  test('the host: its control group is made anew under a running sandbox, whose network is not to be had', async () => {
    const { sandboxID, fcNetworkIdx } = await create();
    const recreated = await client.call('/HostManage/RecreateCgroup');
    assert.deepEqual(recreated, { code: 'OK', response: {} });
    const cleaned = await client.call('/HostManage/CleanNetworkEnv', {
      NetworkIDs: [Number(fcNetworkIdx ?? 0)],
    });
    assert.equal(cleaned.code, 'FAILED_PRECONDITION');
    assert.equal(await run(sandboxID, 'echo still'), 'still\n');
    await remove(sandboxID);
  });

  test('two creates with one id make one sandbox', async () => {
    const request = { templateID: 'default-sandbox', maxInstanceLength: 3, sandboxID: randomUUID() };
    await using other = pythonSeedClient(python!, addresses.seedControlAddress);
    const answers = await Promise.all([
      client.call('/Sandbox/Create', request),
      other.call('/Sandbox/Create', request),
    ]);
    assert.deepEqual(answers.map(({ code }) => code).sort(), ['ALREADY_EXISTS', 'OK']);
    assert.deepEqual(await ids(), [request.sandboxID]);
    await remove(request.sandboxID);
  });

  test('a deadline that is too short leaves nothing', async () => {
    const { machines } = holdings();
    const request = { templateID: 'default-sandbox', sandboxID: randomUUID() };
    const { code } = await client.call('/Sandbox/Create', request, { timeout: 0.15 });
    assert.equal(code, 'DEADLINE_EXCEEDED');
    for (let round = 0; round < 200 && holdings().machines.length > machines.length; round++)
      await sleep(100);
    assert.deepEqual(holdings().machines, machines);
    assert.deepEqual(await ids(), []);
  });

  test('what is wrong has a status and a text', async () => {
    const unknown = randomUUID();
    for (const [method, request, code, text] of [
      ['/Sandbox/Create', { templateID: 'nope' }, 'NOT_FOUND', /template 'nope' not found\nhint: /],
      [
        '/Sandbox/Create',
        { templateID: 'default-sandbox', sandboxID: '$(reboot)' },
        'INVALID_ARGUMENT',
        /sandbox id/,
      ],
      [
        '/Sandbox/Create',
        { templateID: 'default-sandbox', maxInstanceLength: -1 },
        'INVALID_ARGUMENT',
        /hours/,
      ],
      [
        '/Sandbox/Create',
        { templateID: 'default-sandbox', hypervisorBinaryPath: '/bin/sh' },
        'INVALID_ARGUMENT',
        /names its VMM/,
      ],
      ['/Sandbox/Delete', { sandboxID: unknown }, 'NOT_FOUND', /doesn't exist/],
      ['/Sandbox/Deactive', { sandboxID: unknown }, 'NOT_FOUND', /doesn't exist/],
      ['/Sandbox/Snapshot', { sandboxID: unknown }, 'NOT_FOUND', /doesn't exist/],
      ['/Sandbox/Purge', { SandboxIDs: [unknown] }, 'NOT_FOUND', /no orphan/],
      ['/Sandbox/Pause', {}, 'UNIMPLEMENTED', /Pause/],
    ] as const) {
      const answer = await client.call(method, request);
      assert.equal(answer.code, code, `${method} ${answer.details}`);
      assert.match(answer.details ?? '', text, method);
    }
    for (const raw of ['0aff', '0a24', 'ff'.repeat(64)]) {
      assert.equal((await client.call('/Sandbox/Create', {}, { raw })).code, 'INVALID_ARGUMENT', raw);
    }
    const large = '00'.repeat(2 * 1024 * 1024);
    assert.equal((await client.call('/Sandbox/Create', {}, { raw: large })).code, 'RESOURCE_EXHAUSTED');
    assert.deepEqual(await ids(), []);
  });
});

/** Not one that has ended and that nobody has reaped yet. */
function runs(pid: number): boolean {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) && readFileSync(file, 'utf8') !== '';
}

/** Ends a build when its VMM has come up, without giving it the time to clean up. */
async function killBuildAtItsBoot(): Promise<void> {
  const known = new Set(holdings().machines);
  const vmmIsOnRecord = () =>
    holdings().machines.some((id) => {
      const file = join(dataRoot, 'machines', id, 'ref.json');
      return !known.has(id) && existsSync(file) && 'machine' in JSON.parse(readFileSync(file, 'utf8'));
    });
  const file = join(checkout, 'packages/template-manager/templates/default-sandbox.json');
  const builder = spawn(
    process.execPath,
    [join(checkout, 'packages/template-manager/src/main.ts'), '--template', file],
    { env: { ...process.env, ...hostEnv }, stdio: 'ignore' },
  );
  const closed = once(builder, 'close');
  while (builder.exitCode === null && !vmmIsOnRecord()) await sleep(50);
  builder.kill('SIGKILL');
  await closed;
}
