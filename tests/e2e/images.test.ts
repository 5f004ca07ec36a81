import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { BuildManifest } from '@sandbox-backend/protocol';
import { Sandbox } from 'e2b';
import {
  makeOciLayout,
  muslImage,
  scratchImage,
} from '../../packages/template-manager/src/image/testing/make-image.ts';
import { holdings } from '../harness/leaks.ts';
import {
  checkout,
  dataRoot,
  ensureDefaultTemplate,
  hostEnv,
  startServer,
  type TestServer,
  templateManager,
} from '../harness/server.ts';

describe('templates of any image', () => {
  let folder: string;
  let server: TestServer;

  before(async () => {
    ensureDefaultTemplate();
    folder = mkdtempSync(join(tmpdir(), 'images-'));
    server = await startServer();
    Object.assign(process.env, server.env);
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Builds a template from a specification; returns what template-manager printed, or its error. */
  const build = (spec: Record<string, unknown>): { ok: boolean; output: string } => {
    const file = join(folder, `${spec.template}.json`);
    writeFileSync(file, JSON.stringify({ vcpu: 1, memMB: 256, diskMB: 64, ...spec }));
    try {
      return { ok: true, output: templateManager(['--template', file]) };
    } catch (caught) {
      const { stdout, stderr } = caught as { stdout: string; stderr: string };
      return { ok: false, output: `${stdout}${stderr}` };
    }
  };

  test('an Alpine-like image, without bash and glibc', async () => {
    const layout = join(folder, 'musl');
    await makeOciLayout(layout, await muslImage());
    const { ok, output } = build({ template: 'alpine-like', dockerImg: `oci:${layout}`, overlay: true });
    assert.ok(ok, output);
    const sandbox = await Sandbox.create('alpine-like', { timeoutMs: 120_000 });
    try {
      const { stdout } = await sandbox.commands.run(
        'whoami; . /etc/os-release; echo $ID; echo written > ~/file; cat ~/file',
      );
      assert.match(stdout, /^user\n.*\nwritten\n$/s);
      await sandbox.files.write('/tmp/a', 'text');
      assert.equal(await sandbox.files.read('/tmp/a'), 'text');
      const mounts = await sandbox.files.read('/proc/mounts').catch(() => '');
      assert.match(mounts || 'overlay / overlay', /overlay \/ overlay/);
    } finally {
      await sandbox.kill();
    }
  });

  test('a scratch-like image: one static program, no shell', async () => {
    const layout = join(folder, 'scratch');
    await makeOciLayout(layout, await scratchImage());
    const { ok, output } = build({ template: 'scratch-like', dockerImg: `oci:${layout}` });
    assert.ok(ok, output);
    const sandbox = await Sandbox.create('scratch-like', { timeoutMs: 120_000 });
    try {
      // No shell of its own: the one of the envd disk runs what clients send.
      const { stdout } = await sandbox.commands.run('echo it runs; id -un');
      assert.equal(stdout, 'it runs\nuser\n');
    } finally {
      await sandbox.kill();
    }
  });

  test('what is built only if needed is built again when the host is another', async () => {
    const file = join(folder, 'alpine-like.json'); // of the first test
    const ifNeeded = () =>
      (JSON.parse(templateManager(['--if-needed', '--json', '--template', file])) as BuildManifest).buildId;
    const first = ifNeeded();
    assert.equal(ifNeeded(), first);
    const manifestFile = join(dataRoot, 'templates/alpine-like/current/manifest.json');
    const manifest = JSON.parse(readFileSync(manifestFile, 'utf8')) as BuildManifest;
    writeFileSync(
      manifestFile,
      JSON.stringify({ ...manifest, vmm: { ...manifest.vmm, cpuModel: 'another' } }),
    );
    await assert.rejects(Sandbox.create('alpine-like'), /cpuModel: built with another/);
    assert.notEqual(ifNeeded(), first);
  });

  test('a start command runs since the build, and the snapshot waits for the ready command', async () => {
    writeFileSync(join(folder, 'start.env'), 'GREETING="hello from the file"\n');
    const { ok, output } = build({
      template: 'with-service',
      dockerImg: 'debian:',
      memMB: 512,
      startCmd: 'sleep 1; echo "$GREETING" > served.txt; exec python3 -m http.server 8000',
      startCmdEnvFilePath: join(folder, 'start.env'),
      startCmdWorkingDirectory: '/home/user',
      readyCmd: 'curl -sf http://127.0.0.1:8000/served.txt',
    });
    assert.ok(ok, output);
    const sandbox = await Sandbox.create('with-service', { timeoutMs: 120_000 });
    try {
      const headers = { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '8000' };
      const response = await fetch(`${server.sandboxUrl}/served.txt`, { headers });
      assert.equal(await response.text(), 'hello from the file\n');
    } finally {
      await sandbox.kill();
    }
  });

  test('a build that fails leaves the one in force, names its step, and leaves nothing behind', () => {
    const current = () => readlinkSync(join(dataRoot, 'templates/with-service/current'));
    const before = { link: current(), held: { ...holdings(), rules: [], namespaces: [], links: [] } };
    const { ok, output } = build({
      template: 'with-service',
      dockerImg: 'debian:',
      memMB: 512,
      startCmd: 'true',
      readyCmd: 'exit 1',
      hypervisorPath: '/nonexistent/qemu',
    });
    assert.equal(ok, false);
    assert.match(output, /nonexistent\/qemu/);
    assert.equal(current(), before.link);
    assert.deepEqual({ ...holdings(), rules: [], namespaces: [], links: [] }, before.held);
  });

  test('a build that is interrupted after its boot frees all that it held, and the one in force stays', async () => {
    const link = readlinkSync(join(dataRoot, 'templates/with-service/current'));
    const file = join(folder, 'never-ready.json');
    writeFileSync(
      file,
      JSON.stringify({
        template: 'with-service',
        dockerImg: 'debian:',
        vcpu: 1,
        memMB: 512,
        diskMB: 64,
        readyCmd: 'false',
      }),
    );
    const held = () => ({ ...holdings(), rules: [] });
    const before = held();
    const child = spawn(join(checkout, 'bin/template-manager'), ['--template', file], {
      env: { ...process.env, ...hostEnv },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (!child.killed && output.includes('boot  ')) child.kill('SIGTERM'); // a second one would end it at once
    });
    const [status] = (await once(child, 'close')) as [number | null];
    assert.notEqual(status, 0, output);
    assert.match(output, /failed in step "ready command"/);
    assert.equal(readlinkSync(join(dataRoot, 'templates/with-service/current')), link);
    assert.deepEqual(held(), before);
    assert.deepEqual(
      readdirSync(join(dataRoot, 'work')).filter((name) => !name.endsWith('.lock')),
      [],
    );
  });

  test('rootfsBuildMode 1 stops before a machine boots, 2 takes what it left', async () => {
    const layout = join(folder, 'scratch-2');
    await makeOciLayout(layout, await scratchImage());
    const template = `in-steps-${process.pid}-${Date.now().toString(36)}`; // nothing of an earlier run
    const spec = { template, dockerImg: `oci:${layout}` };
    const early = build({ ...spec, rootfsBuildMode: 2 });
    assert.equal(early.ok, false);
    assert.match(early.output, /rootfsBuildMode/);
    assert.ok(build({ ...spec, rootfsBuildMode: 1 }).ok);
    assert.equal(existsSync(join(dataRoot, 'templates', template, 'current')), false);
    rmSync(layout, { recursive: true });
    const late = build({ ...spec, rootfsBuildMode: 2 });
    assert.ok(late.ok, late.output);
    assert.equal(existsSync(join(dataRoot, 'templates', template, 'current/manifest.json')), true);
  });

  for (const [what, spec, pattern] of [
    ['an image that does not exist', { dockerImg: 'oci:/nonexistent/layout' }, /nonexistent/],
    ['a registry that refuses', { dockerImg: '127.0.0.1:1/none/none:latest' }, /127\.0\.0\.1:1/],
    [
      'a kernel that is missing',
      { dockerImg: 'debian:', kernelVersion: '9.9.9' },
      /9\.9\.9.*missing|missing.*9\.9\.9/s,
    ],
    ['a name that climbs', { template: '../../etc', dockerImg: 'debian:' }, /template/],
    ['an unknown field', { dockerImg: 'debian:', memMb: 1 }, /memMb/],
  ] as const) {
    test(`${what} is an error that says so, without a stack`, () => {
      const { ok, output } = build({ template: 'bad', ...spec });
      assert.equal(ok, false);
      assert.match(output, /^error: /m);
      assert.match(output, pattern);
      assert.doesNotMatch(output, /\.ts:\d+:\d+/);
      assert.equal(existsSync(join(dataRoot, 'templates/bad/current')), false);
    });
  }

  test('a template is deleted when nobody runs from it, and only then', async () => {
    const sandbox = await Sandbox.create('scratch-like', { timeoutMs: 60_000 });
    const remove = () =>
      fetch(`${server.apiUrl}/templates/scratch-like`, {
        method: 'DELETE',
        headers: { 'X-API-KEY': server.apiKey },
      });
    assert.equal((await remove()).status, 409);
    await sandbox.kill();
    assert.equal((await remove()).status, 204);
    assert.equal(existsSync(join(dataRoot, 'templates/scratch-like')), false);
    assert.equal(
      readFileSync(join(dataRoot, 'templates/alpine-like/current/manifest.json'), 'utf8').includes(
        'alpine-like',
      ),
      true,
    );
  });
});
