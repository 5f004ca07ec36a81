import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { type ResolveOptions, resolveImage } from './resolve.ts';
import { scanLayers } from './scan.ts';
import { makeOciLayout } from './testing/make-image.ts';
import { startRegistry } from './testing/registry.ts';

const op = () => new Operation('test', { timeoutMs: 60_000 });

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'resolve-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const resolve = (cacheDir: string, reference: string, options: Partial<ResolveOptions> = {}) =>
  resolveImage(op(), { reference, noPull: false, refresh: false, cacheDir, ...options });

async function makeImage(path: string, text: string): Promise<string> {
  const content = Array.from({ length: 4000 }, (_, index) => `${text} ${index * 7919}`).join('\n');
  await makeOciLayout(path, {
    layers: [[{ path: 'etc/hello', content: text }], [{ path: 'big', content }]],
    config: { Env: ['A=1=2', 'PATH=/bin'], User: 'app', WorkingDir: '/srv', Cmd: ['run'] },
  });
  return path;
}

async function assertNothingLeft(cacheDir: string): Promise<void> {
  const names = await readdir(cacheDir, { recursive: true }).catch(() => []);
  assert.deepEqual(
    names.filter((name) => /\.work-|blobs/.test(name)),
    [],
  );
}

async function assertRefused(promise: Promise<unknown>, code: string, reference: string): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert(error instanceof SandboxError);
    assert.equal(error.code, code, `${error.message}\n${error.log}`);
    assert(error.message.includes(reference), error.message);
    assert(error.hint);
    return true;
  });
}

test('an image is pulled once, asked for again, and pulled again when it has changed', async () => {
  await using work = await folder();
  const cache = join(work.path, 'cache');
  const served = await makeImage(join(work.path, 'image'), 'one');
  await using registry = await startRegistry({ layout: served });
  const reference = `${registry.host}/team/image`;
  const image = await resolve(cache, reference);
  assert.deepEqual(image.config, {
    env: { A: '1=2', PATH: '/bin' },
    user: 'app',
    workdir: '/srv',
    entrypoint: [],
    cmd: ['run'],
  });
  const scanned = await scanLayers(op(), image.layers);
  assert.deepEqual(
    scanned.map((entries) => entries.map((entry) => entry.path)),
    [['etc/hello'], ['big']],
  );

  const blobs = () => registry.requests.filter((line) => line.includes('/blobs/')).length;
  const pulled = blobs();
  assert(pulled > 0);
  assert.equal((await resolve(cache, `docker://${reference}`)).digest, image.digest);
  assert.equal(blobs(), pulled, 'an unchanged image is not pulled again');
  const asked = registry.requests.length;
  assert.equal((await resolve(cache, reference, { noPull: true })).digest, image.digest);
  assert.equal(registry.requests.length, asked, 'noPull leaves the network alone');
  await resolve(cache, reference, { refresh: true });
  assert(blobs() > pulled, 'refresh pulls again');

  await rm(served, { recursive: true });
  await makeImage(served, 'two');
  assert.notEqual((await resolve(cache, reference)).digest, image.digest);
  await scanLayers(op(), image.layers); // a build under way keeps the image it opened
});

test('a private image needs the auth file of its registry', async () => {
  await using work = await folder();
  const layout = await makeImage(join(work.path, 'image'), 'private');
  await using registry = await startRegistry({ layout, basicAuth: 'me:secret' });
  const reference = `${registry.host}/team/image:latest`;
  const authFile = join(work.path, 'auth.json');
  const login = async (user: string) => {
    const auth = Buffer.from(user).toString('base64');
    await writeFile(authFile, JSON.stringify({ auths: { [registry.host]: { auth } } }));
  };
  await login('me:secret');
  assert.equal((await resolve(join(work.path, 'a'), reference, { authFile })).config.user, 'app');
  await login('me:wrong');
  await assertRefused(resolve(join(work.path, 'b'), reference, { authFile }), 'permission_denied', reference);
  await assertRefused(resolve(join(work.path, 'b'), reference), 'permission_denied', reference);
});

for (const [status, code] of [
  [401, 'permission_denied'],
  [403, 'permission_denied'],
  [404, 'not_found'],
  [500, 'unavailable'],
] as const) {
  test(`a registry that answers ${status} is ${code}`, async () => {
    await using work = await folder();
    await using registry = await startRegistry({ fail: status });
    const reference = `${registry.host}/team/image:v1`;
    await assertRefused(resolve(work.path, reference), code, reference);
    await assertNothingLeft(work.path);
  });
}

test('a name or tag that the registry has not is not_found', async () => {
  await using work = await folder();
  const layout = await makeImage(join(work.path, 'image'), 'x');
  await using registry = await startRegistry({ layout });
  for (const name of ['team/image:other', 'team/none']) {
    await assertRefused(resolve(join(work.path, 'cache'), `${registry.host}/${name}`), 'not_found', name);
  }
});

test('a blob that ends early is unavailable and leaves nothing', async () => {
  await using work = await folder();
  const layout = await makeImage(join(work.path, 'image'), 'x');
  await using registry = await startRegistry({ layout, truncateBlobsAt: 3000 });
  const reference = `${registry.host}/team/image`;
  await assertRefused(resolve(join(work.path, 'cache'), reference), 'unavailable', reference);
  await assertNothingLeft(join(work.path, 'cache'));
});

test('a registry that does not answer is unavailable', async () => {
  await using work = await folder();
  let host: string;
  {
    await using registry = await startRegistry({});
    host = registry.host;
  }
  await assertRefused(resolve(work.path, `${host}/team/image`), 'unavailable', host);
});

test('noPull without the image is failed_precondition', async () => {
  await using work = await folder();
  const reference = 'no-such-image-anywhere:v0';
  await assertRefused(resolve(work.path, reference, { noPull: true }), 'failed_precondition', reference);
});

test('archives and layouts on the host are read, and again when they have changed', async () => {
  await using work = await folder();
  const cache = join(work.path, 'cache');
  const layout = await makeImage(join(work.path, 'image'), 'local');
  const docker = join(work.path, 'docker.tar');
  const oci = join(work.path, 'oci.tar');
  await run('skopeo', [
    '--insecure-policy',
    'copy',
    '-q',
    `oci:${layout}`,
    `docker-archive:${docker}:local/image:v1`,
  ]);
  await run('skopeo', ['--insecure-policy', 'copy', '-q', `oci:${layout}`, `oci-archive:${oci}`]);
  for (const reference of [`oci:${layout}`, `docker-archive:${docker}`, docker, `oci-archive:${oci}`, oci]) {
    const image = await resolve(cache, reference);
    assert.equal(image.config.user, 'app', reference);
    const scanned = await scanLayers(op(), image.layers);
    assert.deepEqual(
      scanned.flat().map((entry) => entry.path),
      ['etc/hello', 'big'],
    );
  }
  const before = await resolve(cache, `oci:${layout}`);
  await rm(layout, { recursive: true });
  await makeImage(layout, 'changed');
  assert.notEqual((await resolve(cache, `oci:${layout}`)).digest, before.digest);

  for (const path of [docker, oci]) await truncate(path, Math.floor((await stat(path)).size / 2));
  await assertRefused(resolve(cache, docker), 'invalid_argument', docker);
  await assertRefused(resolve(cache, `oci-archive:${oci}`), 'invalid_argument', oci);
  await assertRefused(resolve(cache, `docker-archive:${docker}`), 'invalid_argument', docker);
  await writeFile(docker, 'no tar at all');
  await assertRefused(resolve(cache, docker), 'invalid_argument', docker);
  await assertRefused(resolve(cache, '/no/such/image.tar'), 'not_found', '/no/such/image.tar');
});

test('what is no image reference is refused before anything runs', async () => {
  const options = [
    '',
    '--help',
    'a b',
    'debian:?packages=-o,x',
    'debian:?without=usr/*',
    'debian:?without=/a b',
    'debian:?pakages=npm',
    'debian:?packages',
    '../x',
    'oci:',
    'docker://',
    'UPPER/case',
    'a:b:c',
    'x'.repeat(600),
  ];
  for (const reference of options) {
    await assert.rejects(resolve('/nowhere', reference), { code: 'invalid_argument' }, reference);
  }
});
