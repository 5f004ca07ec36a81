import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { resolveConnection } from './connection.ts';

async function dataRootWith(files: Record<string, string>) {
  const folder = await mkdtempDisposable(join(tmpdir(), 'sdk-connection-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder.path, name), text);
  return folder;
}

const serverFile = JSON.stringify({ apiUrl: 'http://127.0.0.1:4000', sandboxUrl: 'http://127.0.0.1:4002' });

test('the files of a running server are enough', async () => {
  await using folder = await dataRootWith({ 'server.json': serverFile, 'api-key': 'e2b_1f\n' });
  assert.deepEqual(resolveConnection({ dataRoot: folder.path }, {}), {
    apiUrl: 'http://127.0.0.1:4000',
    sandboxUrl: 'http://127.0.0.1:4002',
    apiKey: 'e2b_1f',
    dataRoot: folder.path,
  });
});

test('what is given wins over the environment, the environment over the files', async () => {
  await using folder = await dataRootWith({ 'server.json': serverFile, 'api-key': 'e2b_file' });
  const env = {
    SANDBOX_DATA_ROOT: folder.path,
    E2B_API_URL: 'http://127.0.0.1:5000/',
    E2B_API_KEY: 'e2b_env',
  };
  const connection = resolveConnection({ apiKey: 'e2b_given' }, env);
  assert.equal(connection.apiUrl, 'http://127.0.0.1:5000');
  assert.equal(connection.apiKey, 'e2b_given');
  assert.equal(resolveConnection({}, env).apiKey, 'e2b_env');
});

test('the data plane of a chosen server is on the same host', () => {
  const connection = resolveConnection({ apiUrl: 'http://10.1.2.3:3000', dataRoot: '/nonexistent' }, {});
  assert.equal(connection.sandboxUrl, 'http://10.1.2.3:3002');
});

test('the key of this machine is never offered to another', async () => {
  await using folder = await dataRootWith({ 'api-key': 'e2b_secret' });
  const options = { dataRoot: folder.path };
  for (const apiUrl of [
    'http://10.1.2.3:3000',
    'http://127.0.0.1.example.com',
    'http://localhost@evil.test',
  ]) {
    assert.equal(resolveConnection({ ...options, apiUrl }, {}).apiKey, undefined, apiUrl);
  }
  assert.equal(resolveConnection({ ...options, apiUrl: 'http://localhost:9' }, {}).apiKey, 'e2b_secret');
});

test('a broken file and a bad address are named', async () => {
  await using folder = await dataRootWith({ 'server.json': '{' });
  assert.throws(() => resolveConnection({ dataRoot: folder.path }, {}), /server\.json is not JSON/);
  assert.throws(() => resolveConnection({ apiUrl: 'ftp://x' }, {}), { code: 'invalid_argument' });
});
