import assert from 'node:assert/strict';
import test from 'node:test';
import { SandboxError } from '@sandbox-backend/protocol';
import fc from 'fast-check';
import { parseTemplateSpec } from './parse.ts';

const SMALLEST = { template: 'small', dockerImg: 'debian:', vcpu: 1, memMB: 256, diskMB: 512 };

const json = (value: unknown) => parseTemplateSpec(JSON.stringify(value), { format: 'json' });
const toml = (text: string) => parseTemplateSpec(text, { format: 'toml' });

function assertRefused(parse: () => unknown, message: RegExp, hint: RegExp = /./): void {
  assert.throws(parse, (error) => {
    assert(error instanceof SandboxError);
    assert.equal(error.code, 'invalid_argument');
    assert.match(error.message, message);
    assert.match(error.hint ?? '', hint);
    return true;
  });
}

test('what is left out has defaults', () => {
  assert.deepEqual(json(SMALLEST), {
    spec: {
      template: 'small',
      image: 'debian:',
      noPull: false,
      vcpus: 1,
      memoryMib: 256,
      diskMib: 512,
      overlay: false,
      hugePages: false,
      kernelVersion: 'default',
      vmmType: 'auto',
      rootfsBuildMode: 'normal',
      kernelDebugOutput: false,
      env: {},
    },
    warnings: [],
  });
});

const EVERYTHING = {
  template: 'full-1',
  image: 'registry.example.com/team/image:tag',
  noPull: true,
  authFile: '/etc/auth.json',
  files: '/etc/rootfs',
  vcpus: 4,
  memoryMib: 2048,
  diskMib: 4096,
  overlay: true,
  hugePages: true,
  kernelVersion: 'ch-6.1.134',
  vmmType: 'cloud-hypervisor',
  hypervisorPath: '/opt/ch',
  rootfsBuildMode: 'skip-build-rootfs',
  kernelDebugOutput: true,
  env: { A: '1', _b: '' },
  defaultUser: 'root',
  startCommand: { cmd: 'jupyter lab', envFile: '/etc/jupyter.env', workdir: '/code' },
  readyCommand: 'curl -f localhost:8888',
};

test('every field of the JSON form is read', () => {
  const { spec, warnings } = json({
    template: 'full-1',
    startCmd: 'jupyter lab',
    memMB: 2048,
    vcpu: 4,
    diskMB: 4096,
    kernelVersion: 'ch-6.1.134',
    hugePages: true,
    dockerImg: 'registry.example.com/team/image:tag',
    noPull: true,
    overlay: true,
    startCmdEnvFilePath: '/etc/jupyter.env',
    startCmdWorkingDirectory: '/code',
    vmmType: 'cloud-hypervisor',
    rootfsBuildMode: 2,
    kernelDebugOutput: true,
    hypervisorPath: '/opt/ch',
    readyCmd: 'curl -f localhost:8888',
    auth: '/etc/auth.json',
    files: '/etc/rootfs',
    env: { A: '1', _b: '' },
    user: 'root',
  });
  assert.deepEqual(spec, EVERYTHING);
  assert.deepEqual(warnings, []);
});

test('every field of the TOML form is read, and what belongs to other programs is left alone', () => {
  const { spec, warnings, dataRoot } = toml(`
    data_root = "/data"
    fc_binary_path = "/opt/fc"
    ch_binary_path = "/opt/ch"
    [orchestrator]
    port = 5000
    [template_manager]
    template_id = "full-1"
    rootfs_build_mode = "skip-build-rootfs"
    kernel_debug_output = true
    subnet = "10.160.0.0/30"
    envd_path = "/envd"
    [template.other]
    vcpu = "ignored, because it is not built"
    [template."full-1"]
    vcpu = 4
    mem_mb = 2_048
    disk_mb = 4096
    kernel_version = "ch-6.1.134"
    docker_img = "registry.example.com/team/image:tag"
    no_pull = true
    huge_pages = true
    overlay = true
    vmm_type = "cloud-hypervisor"
    auth = "/etc/auth.json"
    files = "/etc/rootfs"
    env = { A = "1", _b = "" }
    user = "root"
    ready_cmd = "curl -f localhost:8888"
    start_cmd.cmd = "jupyter lab"
    start_cmd.envfile_path = "/etc/jupyter.env"
    start_cmd.working_dir = "/code"
  `);
  assert.deepEqual(spec, EVERYTHING);
  assert.deepEqual(warnings, []);
  assert.equal(dataRoot, '/data');
});

test('the only template of a TOML file needs no template_id, and its VMM is found by its type', () => {
  const one = (rest: string) => `fc_binary_path = "/fc"
    [template.a]
    docker_img = "debian:"
    vcpu = 1
    mem_mb = 256
    disk_mb = 512
    ${rest}`;
  assert.equal(toml(one('')).spec.template, 'a');
  assert.equal(toml(one('')).spec.hypervisorPath, undefined);
  assert.equal(toml(one('vmm_type = "firecracker"')).spec.hypervisorPath, '/fc');
  const two = `${one('')}\n[template.b]`;
  assertRefused(() => toml(two), /does not say which/, /template_id.*a, b/);
  assertRefused(
    () => toml(`${two}\n[template_manager]\ntemplate_id = "c"`),
    /"c" is not in the file/,
    /a, b/,
  );
});

test('empty texts are none, as the seed writes them', () => {
  const { spec } = json({
    ...SMALLEST,
    startCmd: '',
    startCmdEnvFilePath: '',
    startCmdWorkingDirectory: '',
    hypervisorPath: '',
    kernelVersion: '',
    readyCmd: '',
    auth: '',
    files: '',
    user: '',
  });
  assert.deepEqual(spec, json(SMALLEST).spec);
});

for (const [mode, expected] of [
  [0, 'normal'],
  [1, 'build-rootfs-only'],
  [2, 'skip-build-rootfs'],
  ['build-rootfs-only', 'build-rootfs-only'],
] as const) {
  test(`rootfsBuildMode ${mode} is ${expected}`, () => {
    assert.equal(json({ ...SMALLEST, rootfsBuildMode: mode }).spec.rootfsBuildMode, expected);
  });
}

test('what has no effect is accepted with a warning', () => {
  const warnings = (more: object) => json({ ...SMALLEST, ...more }).warnings.join('\n');
  assert.match(warnings({ fcPath: '/x' }), /^fcPath has no meaning/);
  assert.match(warnings({ rootfsSize: 12 }), /^rootfsSize has no meaning/);
  assert.match(warnings({ startCmdWorkingDirectory: '/x' }), /without a start command/);
  assert.match(warnings({ hugePages: true, vmmType: 'firecracker' }), /huge pages/);
});

const unknown: [key: string, nearest: string][] = [
  ['memMb', 'memMB'],
  ['mem_mb', 'memMB'],
  ['mem', 'memMB'],
  ['disk', 'diskMB'],
  ['cpu', 'vcpu'],
  ['kernel', 'kernelVersion'],
  ['dockerImage', 'dockerImg'],
  ['startComand', 'startCmd'],
  ['startCmdWorkingDir', 'startCmdWorkingDirectory'],
  ['vmm', 'vmmType'],
];
for (const [key, nearest] of unknown) {
  test(`the unknown field ${key} is refused, and ${nearest} is suggested`, () => {
    assertRefused(
      () => json({ ...SMALLEST, [key]: 1 }),
      new RegExp(`${key} is not a field`),
      new RegExp(`${nearest}\\?`),
    );
  });
}

test('an unknown field that is like none is answered with the list of fields, without the dead ones', () => {
  assertRefused(
    () => json({ ...SMALLEST, zzzzzz: 1 }),
    /zzzzzz is not a field/,
    /^The fields are template, .*readyCmd\.$/,
  );
  assert.throws(
    () => json({ ...SMALLEST, fcPat: 1 }),
    (error: SandboxError) => !error.hint?.includes('fcPath'),
  );
  assertRefused(
    () => json(JSON.parse(JSON.stringify(SMALLEST).replace('{', '{"__proto__":1,'))),
    /__proto__ is not a field/,
  );
});

const wrong: [fields: object, message: RegExp][] = [
  [{ memMB: '2048' }, /memMB must be a whole number from 128 to 1048576, and is the text "2048"/],
  [{ memMB: 2048.5 }, /memMB must be a whole number.*and is 2048.5/],
  [{ memMB: 0 }, /memMB must be .*and is 0/],
  [{ memMB: undefined }, /memMB is missing, and must be a whole number/],
  [{ memMB: null }, /memMB must be .*and is null/],
  [{ vcpu: 1e9 }, /vcpu must be a whole number from 1 to 128, and is 1000000000/],
  [{ diskMB: [1] }, /diskMB must be .*and is a list/],
  [{ overlay: 'yes' }, /overlay must be true or false, and is the text "yes"/],
  [
    { vmmType: 'xen' },
    /vmmType must be one of auto, firecracker, cloud-hypervisor, qemu, and is the text "xen"/,
  ],
  [{ rootfsBuildMode: 3 }, /rootfsBuildMode must be 0, 1 or 2 .*and is 3/],
  [{ template: '../x' }, /template: "..\/x" is not a template name/],
  [{ template: 7 }, /template must be a text, and is 7/],
  [{ template: undefined }, /template is missing/],
  [{ kernelVersion: '../x' }, /kernelVersion: "..\/x" is not a kernel version/],
  [{ dockerImg: '--help' }, /dockerImg: '--help' is not an image reference/],
  [{ dockerImg: '' }, /dockerImg: '' is not an image reference/],
  [{ dockerImg: undefined }, /dockerImg is missing/],
  [{ startCmdWorkingDirectory: 'code' }, /startCmdWorkingDirectory must be an absolute path in the guest/],
  [{ startCmd: 'a\0b' }, /startCmd must be a text without zero bytes/],
  [{ user: '-rf' }, /user must be the name of a user/],
  [{ env: { 'A B': '1' } }, /env.A B: a name in it must be a name of letters/],
  [{ env: [] }, /env must be a table of names and texts, and is a list/],
];
for (const [fields, message] of wrong) {
  test(`refused: ${JSON.stringify(fields)}`, () =>
    assertRefused(() => json({ ...SMALLEST, ...fields }), message));
}

test('everything that is wrong is said at once', () => {
  assertRefused(
    () => json({ ...SMALLEST, vcpu: 0, memMB: '1', cpus: 2 }),
    /vcpu must.*; memMB must.*; cpus is not a field/,
  );
});

test('the value of an environment variable is never shown', () => {
  assert.throws(
    () => json({ ...SMALLEST, env: { TOKEN: 123_456_789 } }),
    (error: SandboxError) =>
      /env.TOKEN must be a text, and is a number/.test(error.message) &&
      !error.describe().includes('123456789'),
  );
});

test('a field of a TOML form is named as it is written', () => {
  const table = (rest: string) =>
    `[template.a]\ndocker_img = "debian:"\nvcpu = 1\nmem_mb = 256\ndisk_mb = 512\n${rest}`;
  assertRefused(() => toml(table('memMB = 1')), /template.a.memMB is not a field/, /mem_mb\?/);
  assertRefused(() => toml(table('overlay = 1')), /template.a.overlay must be true or false, and is 1/);
  assertRefused(
    () => toml(table('start_cmd.workdir = "/x"')),
    /template.a.start_cmd.workdir is not a field/,
    /working_dir\?/,
  );
  assertRefused(
    () => toml(table('start_cmd = "x"')),
    /template.a.start_cmd must be a table, and is the text "x"/,
  );
  assertRefused(() => toml(table('vcpu = 2')), /not TOML/);
  assertRefused(() => toml(table('').replace('.a]', '."A b"]')), /"A b" is not a template name/);
  assertRefused(() => toml('vcpu = 1'), /template is missing, and must be a table of templates/);
  assertRefused(
    () => toml('[template]\n[template_manager]\nrootfs_build_mode = "x"'),
    /rootfs_build_mode must be 0, 1 or 2/,
  );
});

test('what is not JSON or TOML, or no table, is refused', () => {
  assertRefused(() => parseTemplateSpec('{', { format: 'json' }), /not JSON/);
  assertRefused(() => parseTemplateSpec('{ // x\n}', { format: 'json' }), /not JSON/, /comment/);
  assertRefused(() => parseTemplateSpec('[[', { format: 'toml' }), /not TOML/);
  for (const value of [null, [], 'x', 3]) assertRefused(() => json(value), /it must be/);
});

test('a byte order mark is passed over', () => {
  assert.equal(
    parseTemplateSpec(`\uFEFF${JSON.stringify(SMALLEST)}`, { format: 'json' }).spec.template,
    'small',
  );
});

test('whatever is written: a specification, or a refusal in words', () => {
  const anyField = fc.oneof(
    fc.constantFrom(...Object.keys(SMALLEST), 'env', 'startCmd', 'vmmType'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.dictionary(anyField, fc.jsonValue(), { maxKeys: 6 }), (fields) => {
      try {
        json({ ...SMALLEST, ...fields });
      } catch (caught) {
        assert(caught instanceof SandboxError && caught.code === 'invalid_argument', String(caught));
        assert(!/Invalid input|Too (?:small|big)|undefined/.test(caught.message), caught.message);
      }
    }),
    { numRuns: 500 },
  );
});
