import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { readAddedFiles } from '../rootfs/added-files.ts';
import { loadTemplateSpec } from './load.ts';

const FIELDS = { template: 'a', dockerImg: 'debian:', vcpu: 1, memMB: 256, diskMB: 512 };

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'spec-'));
  const write = async (name: string, text: string) => {
    await writeFile(join(path, name), text);
    return join(path, name);
  };
  return { path, write, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test('the specification of the default sandbox is sound', async () => {
  const path = fileURLToPath(new URL('../../templates/default-sandbox.json', import.meta.url));
  const { spec, warnings } = await loadTemplateSpec(path);
  assert.equal(spec.template, 'default-sandbox');
  assert.equal(spec.image, 'debian:');
  assert.deepEqual(warnings, []);
});

test('the specification of the code interpreter is sound, and its files are beside it', async () => {
  const path = fileURLToPath(new URL('../../templates/default-code-interpreter.json', import.meta.url));
  const { spec, warnings } = await loadTemplateSpec(path);
  assert.equal(spec.template, 'default-code-interpreter');
  assert.deepEqual(warnings, []);
  const added = (await readAddedFiles(spec.files!)).map((file) => file.path);
  assert.ok(added.includes('etc/jupyter/jupyter_server_config.py'), added.join());
  const program = spec.readyCommand!.split(' ').at(-1)!;
  assert.ok(added.includes(program.slice(1)), program);
});

test('relative paths are against the folder of the file, however it was named', async () => {
  await using work = await folder();
  const load = async (fields: object) => {
    const path = await work.write('a.json', JSON.stringify({ ...FIELDS, ...fields }));
    return (await loadTemplateSpec(relative(process.cwd(), path))).spec;
  };
  const spec = await load({
    auth: 'auth.json',
    files: 'rootfs',
    hypervisorPath: './fc',
    startCmd: 'x',
    startCmdEnvFilePath: '../x.env',
    startCmdWorkingDirectory: '/in-guest',
  });
  assert.equal(spec.authFile, join(work.path, 'auth.json'));
  assert.equal(spec.files, join(work.path, 'rootfs'));
  assert.equal(spec.hypervisorPath, join(work.path, 'fc'));
  assert.deepEqual(spec.startCommand, {
    cmd: 'x',
    envFile: join(work.path, '../x.env'),
    workdir: '/in-guest',
  });
  assert.equal((await load({ hypervisorPath: 'firecracker' })).hypervisorPath, 'firecracker');
  assert.equal((await load({ auth: '/etc/auth.json' })).authFile, '/etc/auth.json');
  for (const [written, expected] of [
    ['./image.tar', join(work.path, 'image.tar')],
    ['/image.tar', '/image.tar'],
    ['oci:layout', `oci:${join(work.path, 'layout')}`],
    ['docker-archive:a.tar:name:tag', `docker-archive:${join(work.path, 'a.tar')}:name:tag`],
    ['oci-archive:/a.tar', 'oci-archive:/a.tar'],
    ['debian:bookworm-slim', 'debian:bookworm-slim'],
    ['debian:?packages=jq', 'debian:?packages=jq'],
    ['localhost:5000/a/b:c', 'localhost:5000/a/b:c'],
  ] as const) {
    assert.equal((await load({ dockerImg: written })).image, expected);
  }
});

test('a name that ends in .toml is TOML', async () => {
  await using work = await folder();
  const text =
    'data_root = "data"\n[template.a]\ndocker_img = "debian:"\nvcpu = 1\nmem_mb = 256\ndisk_mb = 512\n';
  const { spec, dataRoot } = await loadTemplateSpec(await work.write('config.toml', text));
  assert.equal(spec.memoryMib, 256);
  assert.equal(dataRoot, join(work.path, 'data'));
});

test('a file that cannot be read, or is wrong, is named', async () => {
  await using work = await folder();
  const missing = join(work.path, 'none.json');
  await assert.rejects(loadTemplateSpec(missing), { code: 'not_found', message: /none\.json is not there/ });
  await mkdir(join(work.path, 'dir.json'));
  await assert.rejects(loadTemplateSpec(join(work.path, 'dir.json')), {
    code: 'invalid_argument',
    message: /not a file/,
  });
  const large = await work.write('large.json', ' '.repeat(1024 * 1024 + 1));
  await assert.rejects(loadTemplateSpec(large), { code: 'invalid_argument', message: /larger/ });
  const wrong = await work.write('wrong.json', '{}');
  await assert.rejects(loadTemplateSpec(wrong), {
    code: 'invalid_argument',
    message: /wrong\.json: .*template is missing/,
  });
});
