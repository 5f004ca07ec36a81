import assert from 'node:assert/strict';
import test from 'node:test';
import { NO_XATTRS } from '../image/tar/entry.ts';
import {
  emptyTree,
  followPath,
  lookUp,
  makeDirectory,
  makeFile,
  makeParents,
  type Node,
  place,
  type Tree,
} from '../image/tree.ts';
import { editTree } from './edits.ts';

function treeOf(nodes: Record<string, Node | string>): Tree {
  const tree = emptyTree();
  for (const [path, node] of Object.entries(nodes)) {
    const names = path.split('/');
    place(
      tree,
      makeParents(tree, names.slice(0, -1)),
      names.at(-1)!,
      typeof node === 'string' ? makeFile(node) : node,
    );
  }
  return tree;
}

const symlink = (target: string): Node => ({
  type: 'symlink',
  target,
  mode: 0o777,
  uid: 0,
  gid: 0,
  mtime: 0,
  xattrs: NO_XATTRS,
  device: { major: 0, minor: 0 },
});

function text(tree: Tree, path: string): string | undefined {
  const node = followPath(tree, path);
  return node?.type === 'file' ? String(node.content) : undefined;
}

test('an image from scratch gets all that a sandbox needs', () => {
  const tree = treeOf({ 'bin/app': 'app' });
  const account = editTree(tree, { isBase: false });
  assert.deepEqual(account, { name: 'user', uid: 1000, gid: 1000, home: '/home/user', shell: '/bin/sh' });
  assert.equal(
    text(tree, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n',
  );
  assert.equal(text(tree, 'etc/group'), 'root:x:0:\nuser:x:1000:\n');
  assert.equal(text(tree, 'etc/shadow'), undefined);
  assert.equal(text(tree, 'etc/resolv.conf'), 'nameserver 169.254.0.22\n');
  assert.equal(text(tree, 'etc/hostname'), 'sandbox\n');
  assert.equal(text(tree, 'etc/machine-id'), '');
  for (const path of ['proc', 'sys', 'dev/pts', 'run', 'tmp', '.envd', 'code', 'home/user']) {
    assert.equal(lookUp(tree, path.split('/'))?.type, 'directory', path);
  }
  assert.equal(lookUp(tree, ['tmp'])?.mode, 0o1777);
  assert.equal(lookUp(tree, ['code'])?.uid, 1000);
  assert.equal(lookUp(tree, ['home', 'user'])?.gid, 1000);
  assert.equal(lookUp(tree, ['etc', 'sudoers.d']), undefined);
});

test('a full image keeps its accounts, and the files keep owner and mode', () => {
  const tree = treeOf({
    bin: symlink('usr/bin'),
    'usr/bin/bash': 'bash',
    'usr/bin/sudo': 'sudo',
    'etc/passwd': 'root:x:0:0::/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash',
    'etc/group': 'root:x:0:\nubuntu:x:1000:\nother:x:1001:\n',
    'etc/shadow': makeFile('root:*::\n', { mode: 0o640, gid: 42 }),
    'etc/skel/.bashrc': '# bashrc',
    'etc/resolv.conf': symlink('/run/systemd/resolve/stub-resolv.conf'),
    'etc/profile': 'if [ "$(id -u)" -eq 0 ]; then',
    proc: symlink('/etc'),
  });
  const account = editTree(tree, { isBase: true });
  assert.deepEqual(account, { name: 'user', uid: 1002, gid: 1002, home: '/home/user', shell: '/bin/bash' });
  assert.match(
    text(tree, 'etc/passwd') ?? '',
    /ubuntu:x:1000.*\nuser:x:1002:1002::\/home\/user:\/bin\/bash\n$/,
  );
  assert.match(text(tree, 'etc/shadow') ?? '', /^root:\*::\nuser:\*:/);
  assert.equal(lookUp(tree, ['etc', 'shadow'])?.gid, 42);
  assert.equal(lookUp(tree, ['etc', 'shadow'])?.mode, 0o640);
  assert.equal(lookUp(tree, ['etc', 'resolv.conf'])?.type, 'file');
  assert.equal(lookUp(tree, ['proc'])?.type, 'directory');
  assert.equal(text(tree, 'home/user/.bashrc'), '# bashrc');
  assert.equal(lookUp(tree, ['home', 'user', '.bashrc'])?.uid, 1002);
  assert.equal(lookUp(tree, ['etc', 'skel', '.bashrc'])?.uid, 0);
  assert.equal(lookUp(tree, ['etc', 'sudoers.d', 'user'])?.mode, 0o440);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: shell, not JavaScript
  assert.equal(text(tree, 'etc/profile'), 'if [ "${EUID:-$(id -u)}" -eq 0 ]; then');
});

test('an account `user` of the image is left as it is', () => {
  const passwd = 'user:x:500:501:me:/srv/me:/bin/zsh\n';
  const tree = treeOf({
    'etc/passwd': passwd,
    'srv/me': makeDirectory({ mode: 0o700, uid: 9 }),
    'etc/profile': '"$(id -u)"',
  });
  assert.deepEqual(editTree(tree, { isBase: false }), {
    name: 'user',
    uid: 500,
    gid: 501,
    home: '/srv/me',
    shell: '/bin/zsh',
  });
  assert.equal(text(tree, 'etc/passwd'), passwd);
  assert.equal(lookUp(tree, ['srv', 'me'])?.uid, 9);
  assert.equal(lookUp(tree, ['code'])?.uid, 500);
  assert.equal(text(tree, 'etc/profile'), '"$(id -u)"', 'only our own base is tuned');
});

test('accounts that cannot be read are never replaced', () => {
  const unread: Node = { ...makeFile(''), content: { layer: 0, member: 0 }, size: 300_000 };
  for (const path of ['etc/passwd', 'etc/group', 'etc/shadow']) {
    assert.throws(() => editTree(treeOf({ [path]: unread }), { isBase: false }), {
      code: 'invalid_argument',
      message: new RegExp(path),
    });
  }
  const linked = { 'etc/passwd': symlink('/opt/accounts'), 'opt/accounts': unread };
  assert.throws(() => editTree(treeOf(linked), { isBase: false }), { code: 'invalid_argument' });
});

test('a lost+found that is no folder makes way for the one of every disk', () => {
  const tree = treeOf({ 'lost+found': 'file' });
  editTree(tree, { isBase: false });
  assert.equal(lookUp(tree, ['lost+found']), undefined);
  const kept = treeOf({ 'lost+found/x': 'x' });
  editTree(kept, { isBase: false });
  assert.equal(text(kept, 'lost+found/x'), 'x');
});

test('a home that exists goes to the account that is made for it; a senseless one is no folder', () => {
  const tree = treeOf({ 'home/user': makeDirectory() });
  editTree(tree, { isBase: false });
  assert.equal(lookUp(tree, ['home', 'user'])?.uid, 1000);
  editTree(treeOf({ 'etc/passwd': 'user:x:1:1::../../x:/bin/sh\n' }), { isBase: false });
  const broken = treeOf({ 'etc/passwd': 'user:x:zero::\n' });
  assert.equal(editTree(broken, { isBase: false }).uid, 1000);
  assert.equal(text(broken, 'etc/passwd'), 'user:x:1000:1000::/home/user:/bin/sh\n');
});
