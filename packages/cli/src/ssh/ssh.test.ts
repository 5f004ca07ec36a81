import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstat, mkdir, mkdtempDisposable, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { sshFiles } from './files.ts';
import { installConfig, uninstallConfig, withoutBlock } from './install-config.ts';
import { parseAddress } from './relay.ts';
import { renderConfig } from './render-config.ts';

const hasSsh = (() => {
  try {
    execFileSync('ssh', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const setup = (home: string) => ({
  files: sshFiles(home),
  host: '10.0.0.1',
  port: 2222,
  alias: 'sandbox-backend-10.0.0.1-2222',
});

test('the names of sandboxes, and no others, go through our proxy', {
  skip: hasSsh ? false : 'DID NOT RUN: this machine has no ssh',
}, async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'ssh config 100% '));
  await mkdir(join(folder.path, '.ssh/sandbox-backend'), { recursive: true });
  const file = join(folder.path, '.ssh/sandbox-backend/config');
  await writeFile(file, renderConfig(setup(folder.path)));
  const settings = (name: string) =>
    execFileSync('ssh', ['-F', file, '-G', name], { encoding: 'utf8', stdio: 'pipe' });
  for (const name of [
    'i9e2fwdyo7ivs057pto3k',
    '0b9c2f6e-5b5e-4c8e-9f0a-1234567890ab',
    'i9e2.sandbox',
    'root@i9e2fwdyo7ivs057pto3k',
  ]) {
    const found = settings(name);
    assert.match(found, /^proxycommand .*ssh-proxy --address 10\.0\.0\.1:2222 '%n'$/m, name);
    assert.match(found, /^user root$/m);
    assert.ok(
      found.includes(`userknownhostsfile ${folder.path}/.ssh/sandbox-backend/known_hosts`) ||
        /userknownhostsfile ".*100%/m.test(found),
      found,
    );
    assert.match(found, /^stricthostkeychecking (true|yes)$/m);
  }
  assert.match(settings('user@i9e2.sandbox'), /^user user$/m);
  for (const name of [
    'example.com',
    'internal-build-host01',
    'inner.example.com.abc',
    'sandbox',
    'i9e2fwdyo7ivs057pto3',
    'x9e2fwdyo7ivs057pto3k',
  ]) {
    assert.doesNotMatch(settings(name), /ssh-proxy/, name);
  }
});

test('installing twice is installing once, and uninstalling leaves what was there', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'ssh-install-'));
  const files = sshFiles(folder.path);
  await mkdir(files.folder, { recursive: true });
  const own = 'Host *\n  User me\n\n# sandbox-cli is nice\n';
  // As people have it who keep their settings elsewhere.
  await writeFile(join(folder.path, 'dotfile'), own, { mode: 0o640 });
  await symlink(join(folder.path, 'dotfile'), files.userConfig);
  assert.equal(await installConfig(files, 'one'), true);
  assert.equal(await installConfig(files, 'two'), false);
  assert.equal(await readFile(files.config, 'utf8'), 'two');
  assert.equal((await stat(files.config)).mode & 0o777, 0o600);
  const text = await readFile(files.userConfig, 'utf8');
  assert.equal(text, `# sandbox-cli: begin\nInclude "${files.config}"\n# sandbox-cli: end\n${own}`);
  assert.ok((await lstat(files.userConfig)).isSymbolicLink());
  assert.equal((await stat(files.userConfig)).mode & 0o777, 0o640);
  assert.equal(await uninstallConfig(files), true);
  assert.equal(await readFile(files.userConfig, 'utf8'), own);
  assert.equal(await uninstallConfig(files), false);
});

test('a first config is private', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'ssh-install-'));
  const files = sshFiles(folder.path);
  await mkdir(files.folder, { recursive: true });
  await installConfig(files, 'one');
  assert.equal((await stat(files.userConfig)).mode & 0o777, 0o600);
});

test('lines of the user are never lost', () => {
  assert.equal(withoutBlock('# sandbox-cli: begin\nHost a\n'), '# sandbox-cli: begin\nHost a\n'); // its end was removed by hand
  fc.assert(
    fc.property(fc.array(fc.constantFrom('', 'Host a', '  User b', '# c'), { maxLength: 8 }), (lines) => {
      const text = lines.join('\n');
      assert.equal(withoutBlock(`# sandbox-cli: begin\nx\n# sandbox-cli: end\n${text}`), text);
    }),
  );
});

test('addresses', () => {
  assert.deepEqual(parseAddress('[::1]:2222'), { host: '::1', port: 2222 });
  assert.deepEqual(parseAddress('a.example:22'), { host: 'a.example', port: 22 });
  for (const text of ['', 'a', 'a:0', 'a:65536', ':1', 'a b:1', '::1:22']) {
    assert.throws(() => parseAddress(text), { code: 'invalid_argument' }, text);
  }
});
