import assert from 'node:assert/strict';
import test from 'node:test';
import { SandboxError } from '@sandbox-backend/protocol';
import fc from 'fast-check';
import { flatten, type LayerEntry } from './flatten.ts';
import { NO_XATTRS } from './tar/entry.ts';
import { eachPath, lookUp, type Tree } from './tree.ts';

let member = 0;
const entry = (path: string, type: LayerEntry['type'], fields: Partial<LayerEntry> = {}): LayerEntry => ({
  path,
  type,
  mode: type === 'directory' ? 0o755 : 0o644,
  uid: 0,
  gid: 0,
  mtime: 1,
  size: 0,
  target: '',
  device: { major: 0, minor: 0 },
  xattrs: NO_XATTRS,
  member: member++,
  ...fields,
});
const dir = (path: string, fields?: Partial<LayerEntry>) => entry(path, 'directory', fields);
const file = (path: string, text = path) =>
  entry(path, 'file', { data: Buffer.from(text), size: text.length });
const link = (path: string, target: string) => entry(path, 'hardlink', { target });
const symlink = (path: string, target: string) => entry(path, 'symlink', { target });

/** `path` for a folder, `path=content`, `path->target`, sorted. */
function show(tree: Tree): string[] {
  return [...eachPath(tree.root)].map(({ path, node }) => {
    if (node.type === 'file') return `${path}=${Buffer.isBuffer(node.content) ? node.content : '?'}`;
    return node.type === 'symlink'
      ? `${path}->${node.target}`
      : `${path}${node.type === 'directory' ? '/' : ''}`;
  });
}

const cases: [what: string, layers: LayerEntry[][], expected: string[]][] = [
  ['a later layer replaces a file', [[file('a', '1')], [file('a', '2')]], ['a=2']],
  ['a whiteout removes a file', [[dir('d'), file('d/a'), file('d/b')], [file('d/.wh.a')]], ['d/', 'd/b=d/b']],
  ['a whiteout removes a folder', [[file('d/e/a')], [file('d/.wh.e')]], ['d/']],
  ['a whiteout of nothing makes nothing', [[file('a')], [file('x/y/.wh.z')]], ['a=a']],
  [
    'a whiteout hides only what is below, wherever it stands in its layer',
    [[file('d/a', 'low')], [file('d/a', 'high'), file('d/.wh.a')]],
    ['d/', 'd/a=high'],
  ],
  [
    'an opaque folder keeps what its own layer brings, before and after the mark',
    [[file('d/low')], [file('d/x'), file('d/.wh..wh..opq'), file('d/y')]],
    ['d/', 'd/x=d/x', 'd/y=d/y'],
  ],
  ['bookkeeping of AUFS is ignored', [[file('a'), file('.wh..wh.plnk'), file('.wh..wh.aufs')]], ['a=a']],
  ['missing parents are made', [[file('a/b/c')]], ['a/', 'a/b/', 'a/b/c=a/b/c']],
  [
    'absolute and dotted paths are relative',
    [[file('/a'), file('./b'), file('.//c/./d')]],
    ['a=/a', 'b=./b', 'c/', 'c/d=.//c/./d'],
  ],
  [
    'a hard link keeps the content when its target is replaced',
    [[file('a', '1'), link('b', 'a')], [file('a', '2')]],
    ['a=2', 'b=1'],
  ],
  [
    'a hard link keeps the content when its target is whited out',
    [[file('a', '1')], [link('b', '/a')], [file('.wh.a')]],
    ['b=1'],
  ],
  ['a hard link to itself changes nothing', [[file('a', '1'), link('a', './a')]], ['a=1']],
  ['a folder becomes a file', [[file('a/b')], [file('a')]], ['a=a']],
  ['a folder becomes a link', [[file('a/b')], [symlink('a', 'c')]], ['a->c']],
  ['a file becomes a folder', [[file('a')], [dir('a'), file('a/b')]], ['a/', 'a/b=a/b']],
  [
    'a linked folder becomes a folder',
    [
      [dir('c'), symlink('a', 'c')],
      [dir('a'), file('a/b')],
    ],
    ['a/', 'a/b=a/b', 'c/'],
  ],
  [
    'a folder entry keeps the content',
    [[dir('a'), file('a/b')], [dir('a/', { mode: 0o700 })]],
    ['a/', 'a/b=a/b'],
  ],
  [
    'a file behind a linked folder',
    [[dir('usr/lib'), symlink('lib', 'usr/lib')], [file('lib/x', '1')]],
    ['lib->usr/lib', 'usr/', 'usr/lib/', 'usr/lib/x=1'],
  ],
  [
    'a link out of the image stays inside',
    [[symlink('esc', '../../../etc'), file('esc/passwd', '1')]],
    ['esc->../../../etc', 'etc/', 'etc/passwd=1'],
  ],
  [
    'an absolute link starts at the image',
    [[symlink('esc', '/tmp'), file('esc/x', '1')]],
    ['esc->/tmp', 'tmp/', 'tmp/x=1'],
  ],
  [
    'a whiteout behind a linked folder',
    [[symlink('l', 'd'), file('d/a')], [file('l/.wh.a')]],
    ['d/', 'l->d'],
  ],
];
for (const [what, layers, expected] of cases) {
  test(`flatten: ${what}`, () => assert.deepEqual(show(flatten(layers)), expected));
}

const refused: [what: string, layers: LayerEntry[][], message: RegExp][] = [
  [
    'a path that leads out',
    [[file('a')], [file('x/../../etc/passwd')]],
    /layer 2, "x\/\.\.\/\.\.\/etc\/passwd"/,
  ],
  ['a hard link that leads out', [[link('a', '../b')]], /leads out/],
  ['a hard link to nothing', [[link('a', 'b')]], /not there/],
  ['a hard link to a folder', [[dir('d'), link('a', 'd')]], /a folder/],
  ['a whiteout of ..', [[file('.wh...')]], /names no file/],
  ['links in a circle', [[symlink('a', 'b'), symlink('b', 'a'), file('a/x')]], /too many symbolic links/],
  ['too long a path', [[file('a/'.repeat(2100))]], /longer than 4096/],
  ['too long a name', [[file('a'.repeat(256))]], /longer than 255/],
  ['a root that is no folder', [[file('./')]], /root/],
  ['a link to nowhere', [[symlink('a', '')]], /layer 1, "a".*without a possible target/],
  ['a link with too long a target', [[symlink('a', 'x'.repeat(4096))]], /without a possible target/],
  ['a link with a zero byte', [[symlink('a', 'x\0y')]], /without a possible target/],
  ['a user below zero', [[entry('a', 'file', { uid: -1 })]], /impossible user number -1/],
  ['a user that means none', [[dir('a'), dir('a', { uid: 2 ** 32 - 1 })]], /impossible user number/],
  ['a group too large', [[dir('.', { gid: 2 ** 40 })]], /impossible group number/],
  [
    'a device too large',
    [[entry('a', 'char-device', { device: { major: 4096, minor: 0 } })]],
    /impossible device number 4096/,
  ],
];
for (const [what, layers, message] of refused) {
  test(`flatten refuses ${what}`, () => {
    assert.throws(
      () => flatten(layers),
      (error) => {
        assert(error instanceof SandboxError);
        assert.equal(error.code, 'invalid_argument');
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('flatten keeps owners, setuid, times and attributes, of the root too', () => {
  const xattrs = new Map([['security.capability', '\x01\0\xff']]);
  const tree = flatten([
    [
      dir('./', { mode: 0o1700, uid: 5 }),
      entry('a', 'file', { mode: 0o4755, uid: 3_000_000, mtime: 77, xattrs }),
    ],
  ]);
  assert.equal(tree.root.mode, 0o1700);
  const node = lookUp(tree, ['a']);
  assert.equal(node?.mode, 0o4755);
  assert.equal(node?.uid, 3_000_000);
  assert.equal(node?.mtime, 77);
  assert.equal(node?.xattrs, xattrs);
});

test('flatten stops at the limit of nodes, made parents included', () => {
  assert.throws(() => flatten([[file('a/b/c/d')]], { nodes: 4, pathBytes: 4096 }), /more than 4 files/);
});

const name = fc.constantFrom('a', 'b', 'c', 'a', 'b', 'c', '.', '..');
const lastName = fc.constantFrom('a', 'b', 'c', '.wh.a', '.wh.b', '.wh..wh..opq');
const path = fc
  .tuple(fc.array(name, { maxLength: 3 }), lastName)
  .map(([parents, last]) => [...parents, last].join('/'));
const anyEntry = fc
  .record({
    path,
    target: fc.oneof(
      path,
      path.map((text) => `/${text}`),
    ),
    type: fc.constantFrom('file', 'directory', 'directory', 'symlink', 'hardlink', 'fifo') as fc.Arbitrary<
      LayerEntry['type']
    >,
  })
  .map(({ path, target, type }) => entry(path, type, { target }));
const anyLayers = fc.array(fc.array(anyEntry, { maxLength: 12 }), { maxLength: 4 });

test('a folder with the name of a whiteout is refused, also when a link leads to it', () => {
  const link = entry('a', 'symlink', { target: '.wh.b' });
  for (const entries of [[entry('.wh.b/c', 'file')], [link, entry('a/c', 'file')]]) {
    assert.throws(() => flatten([entries]), {
      code: 'invalid_argument',
      message: /which hides another file/,
    });
  }
});

test('whatever the layers: every parent is a folder of the tree, or the image is refused', () => {
  let flattened = 0;
  fc.assert(
    fc.property(anyLayers, (layers) => {
      let tree: Tree;
      try {
        tree = flatten(
          layers.map((entries) =>
            entries.filter((one) => one.type !== 'hardlink' || !one.target.includes('..')),
          ),
        );
      } catch (caught) {
        return caught instanceof SandboxError && caught.code === 'invalid_argument';
      }
      flattened++;
      const types = new Map([...eachPath(tree.root)].map((one) => [one.path, one.node.type]));
      for (const path of types.keys()) {
        const names = path.split('/');
        assert(names.every((name) => name !== '..' && name !== '.' && name !== ''));
        if (names.length > 1) assert.equal(types.get(names.slice(0, -1).join('/')), 'directory');
      }
      const again = flatten([asLayer(tree)]);
      assert.deepEqual(asLayer(again), asLayer(tree));
      return true;
    }),
    { numRuns: 3000 },
  );
  assert(flattened > 100, `only ${flattened} of the random images were sound`);
});

function asLayer(tree: Tree): LayerEntry[] {
  return [...eachPath(tree.root)].map(({ path, node }) => ({
    ...entry(path, node.type, { target: 'target' in node ? node.target : '' }),
    mode: node.mode,
    member: 0,
  }));
}
