import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { findProgram } from '@sandbox-backend/kit';
import { ApiClient } from '../control/api-client.ts';
import { asFields } from '../control/fields.ts';
import { operation } from './bench.ts';
import { fakeProgram } from './fake-program.ts';
import { whyNoKvm } from './real-harness.ts';
import { temporaryFolder } from './temporary-folder.ts';

/*
 * The rules of the VMMs' APIs that the drivers stand on, asked of the real programs and of the fakes alike: a fake
 * that is more lenient than what it stands for would show nothing.
 */

type Flavor = 'firecracker' | 'cloud-hypervisor';
type Api = AsyncDisposable & { client: ApiClient; child: ChildProcess; folder: string };

async function open(flavor: Flavor, program: (folder: string) => Promise<string>): Promise<Api> {
  await using held = new AsyncDisposableStack();
  const folder = held.use(await temporaryFolder());
  const socket = join(folder.path, 'api.sock');
  const args = flavor === 'firecracker' ? ['--api-sock', socket] : ['--api-socket', `path=${socket}`];
  const child = spawn(await program(folder.path), args, { stdio: 'ignore' });
  held.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const alive = async () => child.exitCode === null && child.signalCode === null;
  const client = held.use(await ApiClient.open(operation(), socket, alive, (body) => body));
  const owned = held.move();
  return { client, child, folder: folder.path, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The same tests on the fake and on the real program, which is skipped aloud where it cannot run. */
function onBoth(flavor: Flavor, variable: string, rules: [string, (api: Api) => Promise<void>][]): void {
  const real = process.env[variable] || flavor;
  const whyNot = async () => {
    if (!(await findProgram(real).catch(() => undefined))) return `${real} is not installed; set ${variable}`;
    // Firecracker opens /dev/kvm when a guest starts, Cloud Hypervisor at once.
    return flavor === 'cloud-hypervisor' ? whyNoKvm() : undefined;
  };
  for (const kind of ['fake', 'real'] as const) {
    describe(`the API of ${flavor} (${kind})`, () => {
      for (const [what, rule] of rules) {
        test(what, async (t) => {
          const reason = kind === 'real' ? await whyNot() : undefined;
          if (reason) {
            console.log(`NOT RUN: the API of ${flavor}, real: ${what}: ${reason}`);
            return t.skip(reason);
          }
          await using api = await open(flavor, (folder) =>
            kind === 'real' ? findProgram(real) : fakeProgram(folder, flavor),
          );
          await rule(api);
        });
      }
    });
  }
}

const refused = (api: Api, method: 'GET' | 'PUT' | 'PATCH', path: string, body?: unknown) =>
  assert.rejects(api.client.send(operation(), method, path, body), { code: 'internal' }, `${method} ${path}`);

onBoth('firecracker', 'FIRECRACKER_BIN', [
  [
    'says that nothing has started, and has no drives',
    async ({ client }) => {
      assert.equal(asFields(await client.send(operation(), 'GET', '/')).state, 'Not started');
      assert.deepEqual(asFields(await client.send(operation(), 'GET', '/vm/config')).drives, []);
    },
  ],
  [
    'refuses a field that it does not know, and takes the same without it',
    async (api) => {
      const sizes = { vcpu_count: 1, mem_size_mib: 128 };
      await refused(api, 'PUT', '/machine-config', { ...sizes, vcpus: 1 });
      await refused(api, 'PUT', '/snapshot/load', { snapshot_path: '/none', huge_pages: 'Snapshot' });
      await api.client.send(operation(), 'PUT', '/machine-config', sizes);
    },
  ],
  [
    'refuses before the start what belongs after it, and a request without a body',
    async (api) => {
      await refused(api, 'PATCH', '/vm', { state: 'Paused' });
      await refused(api, 'PUT', '/snapshot/create', { snapshot_path: '/none/s', mem_file_path: '/none/m' });
      await refused(api, 'PUT', '/machine-config');
      assert.equal(asFields(await api.client.send(operation(), 'GET', '/')).state, 'Not started');
    },
  ],
  [
    'opens a drive at once',
    async (api) => {
      const drive = { drive_id: 'rootfs', is_root_device: false, is_read_only: true };
      await refused(api, 'PUT', '/drives/rootfs', { ...drive, path_on_host: join(api.folder, 'none') });
    },
  ],
  [
    'ends after a snapshot that it could not load',
    async (api) => {
      const ended = once(api.child, 'exit');
      await refused(api, 'PUT', '/snapshot/load', {
        snapshot_path: join(api.folder, 'none'),
        mem_backend: { backend_type: 'File', backend_path: join(api.folder, 'none') },
        resume_vm: false,
      });
      await ended;
      await api.client.closed;
    },
  ],
]);

onBoth('cloud-hypervisor', 'CLOUD_HYPERVISOR_BIN', [
  [
    'answers a ping, and has no machine',
    async (api) => {
      const ping = asFields(await api.client.send(operation(), 'GET', '/api/v1/vmm.ping'));
      assert.match(String(ping.version), /^v?\d+/);
      await refused(api, 'GET', '/api/v1/vm.info');
    },
  ],
  [
    'refuses every step whose time has not come, with a list of reasons',
    async (api) => {
      for (const verb of ['vm.boot', 'vm.pause', 'vm.resume']) {
        await assert.rejects(api.client.send(operation(), 'PUT', `/api/v1/${verb}`), /\["/, verb);
      }
      await refused(api, 'PUT', '/api/v1/vm.snapshot', { destination_url: `file://${api.folder}` });
    },
  ],
  [
    'goes on after a restore that failed, and knows no other paths',
    async (api) => {
      await refused(api, 'PUT', '/api/v1/vm.restore', { source_url: `file://${api.folder}/none` });
      await refused(api, 'PUT', '/api/v1/vm.fly');
      await api.client.send(operation(), 'GET', '/api/v1/vmm.ping');
    },
  ],
]);
