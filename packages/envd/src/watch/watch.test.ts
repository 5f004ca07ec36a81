import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Message, stream, unary, until } from '../testing/rpc.ts';
import { startEnvd, type TestEnvd, whyNot } from '../testing/start-envd.ts';

describe('watches', { skip: whyNot() }, () => {
  let envd: TestEnvd;
  before(async () => {
    envd = await startEnvd();
  });
  after(async () => {
    await envd?.[Symbol.asyncDispose]();
  });
  const call = (method: string, message: unknown) =>
    unary(envd.url, `filesystem.Filesystem/${method}`, message);

  test('a stream tells of everything that happens in a folder and those below it', async () => {
    const root = `${envd.home}/watched`;
    mkdirSync(`${root}/old`, { recursive: true });
    await using calls = await stream(envd.url, 'filesystem.Filesystem/WatchDir', {
      path: 'watched',
      recursive: true,
      includeEntry: true,
    });
    assert.deepEqual((await calls.next())!.message, { start: {} });
    const seen: string[] = [];
    const see = async (...expected: string[]) => {
      while (!expected.every((event) => seen.includes(event))) {
        const one = await calls.next();
        assert.ok(one, `the stream ended; seen: ${seen.join(', ')}`);
        const event = one.message.filesystem;
        seen.push(`${event.type.slice('EVENT_TYPE_'.length)} ${event.name}`);
        if (event.entry) assert.equal(event.entry.path, `${root}/${event.name}`);
      }
    };
    writeFileSync(`${root}/a`, 'x');
    await see('CREATE a', 'WRITE a');
    chmodSync(`${root}/a`, 0o600);
    await see('CHMOD a');
    renameSync(`${root}/a`, `${root}/b`);
    await see('RENAME a', 'CREATE b');
    rmSync(`${root}/b`);
    await see('REMOVE b');
    writeFileSync(`${root}/old/inside`, 'x');
    await see('CREATE old/inside');
    mkdirSync(`${root}/new/deeper/still`, { recursive: true });
    writeFileSync(`${root}/new/deeper/still/file`, 'x');
    await see('CREATE new', 'CREATE new/deeper', 'CREATE new/deeper/still', 'CREATE new/deeper/still/file');
    renameSync(`${root}/new`, `${root}/moved`);
    await see('RENAME new', 'CREATE moved');
    appendFileSync(`${root}/moved/deeper/still/file`, 'more');
    await see('WRITE moved/deeper/still/file');
  });

  test('without `recursive` only the folder itself is watched, and without `includeEntry` no entry comes', async () => {
    const root = `${envd.home}/flat`;
    mkdirSync(`${root}/below`, { recursive: true });
    const { body } = await call('CreateWatcher', { path: root });
    writeFileSync(`${root}/below/unseen`, 'x');
    writeFileSync(`${root}/seen`, 'x');
    const events: Message[] = [];
    await until('the events come', async () => {
      events.push(...(await call('GetWatcherEvents', { watcher_id: body.watcherId })).body.events);
      return events.some((event) => event.type === 'EVENT_TYPE_WRITE');
    });
    assert.ok(events.every((event) => event.name === 'seen' && event.entry === undefined));
    assert.deepEqual((await call('RemoveWatcher', { watcherId: body.watcherId })).body, {});
    const gone = await call('GetWatcherEvents', { watcherId: body.watcherId });
    assert.equal(gone.body.code, 'not_found');
  });

  test('what cannot be watched is an error of the call', async () => {
    writeFileSync(`${envd.home}/file`, '');
    symlinkSync('file', `${envd.home}/link-to-file`);
    const codeOf = async (path: string) => (await call('CreateWatcher', { path })).body.code;
    assert.equal(await codeOf('none'), 'not_found');
    assert.equal(await codeOf('file'), 'invalid_argument');
    assert.equal(await codeOf('link-to-file'), 'invalid_argument');
    await using calls = await stream(envd.url, 'filesystem.Filesystem/WatchDir', { path: 'none' });
    const all = await calls.rest();
    assert.deepEqual([all.length, all[0]!.flags, all[0]!.message.error.code], [1, 2, 'not_found']);
  });

  test('a watch ends with its stream', async () => {
    const inotifies = () => {
      const links = [];
      for (let fd = 0; fd < 200; fd++) {
        try {
          if (/inotify/.test(readFileSync(`/proc/${envd.pid}/fdinfo/${fd}`, 'utf8'))) links.push(fd);
        } catch {
          // no such descriptor
        }
      }
      return links.length;
    };
    const before = inotifies();
    {
      await using calls = await stream(envd.url, 'filesystem.Filesystem/WatchDir', { path: '/tmp' });
      await calls.next();
      assert.ok(inotifies() > before);
    }
    await until('the descriptor is closed', () => inotifies() === before);
  });
});
