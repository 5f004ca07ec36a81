import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Message, unary } from '../testing/rpc.ts';
import { startEnvd, type TestEnvd, whyNot } from '../testing/start-envd.ts';
import { permissionsOf } from './entry.ts';

describe('the file system', { skip: whyNot() }, () => {
  let envd: TestEnvd;
  before(async () => {
    envd = await startEnvd();
  });
  after(async () => {
    await envd?.[Symbol.asyncDispose]();
  });
  const call = (method: string, message: unknown) =>
    unary(envd.url, `filesystem.Filesystem/${method}`, message);
  const code = async (method: string, message: unknown) => {
    const { status, body } = await call(method, message);
    assert.ok(status >= 400);
    return body.code;
  };

  test('an entry has all that the protocol names', async () => {
    const path = `${envd.home}/file`;
    writeFileSync(path, 'four');
    chmodSync(path, 0o640);
    const { body } = await call('Stat', { path: 'file' });
    const { modifiedTime, ...entry } = body.entry;
    // `mtime` is rounded, not cut off.
    assert.equal(modifiedTime, new Date(statSync(path).mtimeMs).toISOString());
    assert.deepEqual(entry, {
      name: 'file',
      type: 'FILE_TYPE_FILE',
      path,
      size: '4',
      mode: 0o640,
      permissions: '-rw-r-----',
      owner: 'root',
      group: 'root',
    });
  });

  test('a link has the type and mode of its target and the rest of itself; a broken one has no type', async () => {
    mkdirSync(`${envd.home}/folder`);
    symlinkSync('folder', `${envd.home}/link`);
    symlinkSync('nowhere', `${envd.home}/broken`);
    const link = (await call('Stat', { path: 'link' })).body.entry;
    assert.equal(link.type, 'FILE_TYPE_DIRECTORY');
    assert.equal(link.mode, 0o755);
    assert.equal(link.permissions, 'Lrwxrwxrwx');
    assert.equal(link.symlinkTarget, `${envd.home}/folder`);
    const broken = (await call('Stat', { path: 'broken' })).body.entry;
    assert.deepEqual([broken.type, broken.mode, broken.permissions], [undefined, undefined, 'Lrwxrwxrwx']);
  });

  test('MakeDir makes folders of the user, and tells a folder from a file that is in the way', async () => {
    const { body } = await call('MakeDir', { path: 'x/y/z' });
    assert.equal(body.entry.path, `${envd.home}/x/y/z`);
    assert.equal(statSync(`${envd.home}/x/y`).uid, 60001);
    assert.equal(await code('MakeDir', { path: 'x/y' }), 'already_exists');
    assert.equal(await code('MakeDir', { path: 'file' }), 'invalid_argument');
    assert.equal(await code('MakeDir', { path: 'file/below' }), 'invalid_argument');
  });

  test('ListDir goes as deep as it is told, by name, and follows a link to a folder', async () => {
    mkdirSync(`${envd.home}/list/b/deep`, { recursive: true });
    writeFileSync(`${envd.home}/list/a`, '');
    writeFileSync(`${envd.home}/list/b/c`, '');
    symlinkSync('list', `${envd.home}/list-link`);
    const names = async (message: unknown) =>
      (await call('ListDir', message)).body.entries.map((entry: Message) =>
        entry.path.slice(envd.home.length + 1),
      );
    assert.deepEqual(await names({ path: 'list' }), ['list/a', 'list/b']);
    assert.deepEqual(await names({ path: 'list', depth: 0 }), ['list/a', 'list/b']);
    assert.deepEqual(await names({ path: 'list', depth: 2 }), [
      'list/a',
      'list/b',
      'list/b/c',
      'list/b/deep',
    ]);
    assert.deepEqual(await names({ path: 'list-link' }), ['list-link/a', 'list-link/b']);
    assert.equal(await code('ListDir', { path: 'none' }), 'not_found');
    assert.equal(await code('ListDir', { path: 'file' }), 'invalid_argument');
  });

  test('Move makes the folders above; Remove takes away everything, and is content with nothing', async () => {
    mkdirSync(`${envd.home}/from/inside`, { recursive: true });
    writeFileSync(`${envd.home}/from/inside/f`, 'moved');
    const { body } = await call('Move', { source: 'from', destination: 'to/there' });
    assert.equal(body.entry.path, `${envd.home}/to/there`);
    assert.equal(readFileSync(`${envd.home}/to/there/inside/f`, 'utf8'), 'moved');
    assert.equal(await code('Move', { source: 'from', destination: 'x' }), 'not_found');
    assert.equal(await code('Move', { source: 'to', destination: '' }), 'invalid_argument');
    assert.deepEqual((await call('Remove', { path: 'to' })).body, {});
    assert.ok(!existsSync(`${envd.home}/to`));
    assert.deepEqual((await call('Remove', { path: 'to' })).body, {});
    assert.equal(await code('Remove', { path: '/' }), 'invalid_argument');
  });

  test('errors are those of Connect', async () => {
    const { status, body } = await call('Stat', { path: 'none' });
    assert.equal(status, 404);
    assert.deepEqual(body, { code: 'not_found', message: `file not found: ${envd.home}/none` });
    assert.equal(await code('Stat', { path: 5 }), 'invalid_argument');
    const response = await fetch(`${envd.url}/filesystem.Filesystem/Stat`, {
      method: 'POST',
      body: '{"path":',
    });
    assert.equal(response.status, 400);
    assert.equal((await fetch(`${envd.url}/filesystem.Filesystem/Stat`)).status, 405);
  });

  test('modes are printed as Go does', () => {
    assert.equal(permissionsOf(0o100644), '-rw-r--r--');
    assert.equal(permissionsOf(0o040755), 'drwxr-xr-x');
    assert.equal(permissionsOf(0o041777), 'dtrwxrwxrwx');
    assert.equal(permissionsOf(0o104755), 'urwxr-xr-x');
    assert.equal(permissionsOf(0o020620), 'Dcrw--w----');
    assert.equal(permissionsOf(0o010000), 'p---------');
  });
});
