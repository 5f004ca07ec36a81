import assert from 'node:assert/strict';
import { chmod, mkdtempDisposable, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import ssh2 from 'ssh2';
import { parseShell } from './guest-user.ts';
import { openHostKey } from './host-key.ts';

test('the host key is made once and for its owner only', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'host-key-'));
  const file = join(folder.path, 'key');
  const made = await openHostKey(file);
  assert.match(made.publicKey, /^ssh-ed25519 AAAA\S+$/);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  await chmod(file, 0o644);
  assert.deepEqual(await openHostKey(file), made);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test('a file that holds another thing is left alone and told of', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'host-key-'));
  const file = join(folder.path, 'key');
  const { public: publicKey } = ssh2.utils.generateKeyPairSync('ed25519');
  const ecdsa = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }).private;
  for (const text of ['', 'nonsense', publicKey, ecdsa]) {
    await writeFile(file, text);
    await assert.rejects(openHostKey(file), { code: 'failed_precondition' });
    assert.equal(await readFile(file, 'utf8'), text);
  }
});

test('the shell of a user', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/zsh\nbad:x:1\nuser:x:1000:1000::/home/user:\nrel:x:2:2::/:sh\n';
  assert.equal(parseShell(passwd, 'root'), '/bin/zsh');
  for (const name of ['bad', 'user', 'rel', 'nobody', ''])
    assert.equal(parseShell(passwd, name), undefined, name);
});
