import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseGroup, parsePasswd } from './database.ts';
import { Users } from './users.ts';

test('lines that are no users or groups are left out', () => {
  assert.deepEqual(parsePasswd('# comment\n\n+::::::\nbad:x:a:b:::\nu:x:5:6::/h:/bin/sh\nshort:x:7:8\n'), [
    { name: 'u', uid: 5, gid: 6, home: '/h', shell: '/bin/sh' },
    { name: 'short', uid: 7, gid: 8, home: '/', shell: '/bin/sh' },
  ]);
  assert.deepEqual(parseGroup('g:x:1:\nh:x:2:a,b\nbad\n'), [
    { name: 'g', gid: 1, members: [] },
    { name: 'h', gid: 2, members: ['a', 'b'] },
  ]);
});

test('users are read again when the file changes, and root is there without any', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'envd-users-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [passwd, group] = [join(folder, 'passwd'), join(folder, 'group')];
  const users = new Users(passwd, group);
  assert.equal(users.find('root').uid, 0);
  assert.throws(() => users.find('new'), { code: 'unauthenticated', message: "invalid username: 'new'" });
  writeFileSync(passwd, 'new:x:7:8::/h:/bin/sh\n');
  writeFileSync(group, 'own:x:8:new\nmore:x:9:other,new\n');
  assert.deepEqual(users.find('new').supplementary, [9]);
  assert.equal(users.find('7').name, 'new');
  assert.equal(users.userName(7), 'new');
  assert.equal(users.userName(70), '70');
  assert.equal(users.groupName(9), 'more');
});
