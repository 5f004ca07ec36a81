import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { emptyTree, followPath, lookUp, makeDirectory, makeFile, place } from '../image/tree.ts';
import { digestOf, layFiles, readAddedFiles } from './added-files.ts';
import { editTree } from './edits.ts';

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'added-'));
  const write = async (name: string, content: string | Buffer = '', mode = 0o644) => {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
    await chmod(join(path, name), mode);
  };
  return { path, write, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const added = (path: string, executable = false) => ({ path, content: Buffer.from('text'), executable });

const refused = (message: RegExp) => ({ code: 'invalid_argument', message });

test('all files below a folder are read, with nothing but their path, content and whether they run', async () => {
  await using work = await folder();
  await work.write('usr/local/bin/tool', '#!/bin/sh\n', 0o750);
  await work.write('etc/grün', 'a');
  await mkdir(join(work.path, 'empty'));
  assert.deepEqual(await readAddedFiles(work.path), [
    { path: Buffer.from('etc/grün').toString('latin1'), content: Buffer.from('a'), executable: false },
    { path: 'usr/local/bin/tool', content: Buffer.from('#!/bin/sh\n'), executable: true },
  ]);
});

test('the digest follows content, path and mode, and not the time', async () => {
  await using work = await folder();
  await work.write('a', 'one');
  const digest = async () => digestOf(await readAddedFiles(work.path));
  const first = await digest();
  await utimes(join(work.path, 'a'), 1, 1);
  assert.equal(await digest(), first);
  await chmod(join(work.path, 'a'), 0o755);
  const executable = await digest();
  await work.write('a', 'two');
  const changed = await digest();
  await work.write('b');
  assert.equal(new Set([first, executable, changed, await digest()]).size, 4);
});

test('what cannot be added is refused', async () => {
  await using work = await folder();
  await work.write('a/file');
  await assert.rejects(readAddedFiles(join(work.path, 'none')), { code: 'not_found', message: /none/ });
  await assert.rejects(readAddedFiles(join(work.path, 'a/file')), refused(/not a folder/));
  await symlink('/etc/shadow', join(work.path, 'a/link'));
  await assert.rejects(readAddedFiles(work.path), refused(/a\/link is neither/));
  await rm(join(work.path, 'a/link'));
  await work.write('large', Buffer.alloc(16 * 1024 ** 2 + 1));
  await assert.rejects(readAddedFiles(work.path), refused(/larger than/));
});

test('below the home they are the user’s, elsewhere root’s, with the folders made for them', () => {
  const tree = emptyTree();
  const account = editTree(tree, { isBase: true });
  layFiles(tree, [added('etc/a/b.conf'), added('home/user/.x/y', true), added('home/userx/z')], account);
  const facts = (path: string) => {
    const { mode, uid, gid } = lookUp(tree, path.split('/'))!;
    return [mode, uid, gid];
  };
  assert.deepEqual(facts('etc/a'), [0o755, 0, 0]);
  assert.deepEqual(facts('etc/a/b.conf'), [0o644, 0, 0]);
  assert.deepEqual(facts('home/user/.x'), [0o755, 1000, 1000]);
  assert.deepEqual(facts('home/user/.x/y'), [0o755, 1000, 1000]);
  assert.deepEqual(facts('home/userx/z'), [0o644, 0, 0]);
  assert.equal(String((followPath(tree, 'etc/a/b.conf') as { content: Buffer }).content), 'text');
});

test('a file of the image is replaced, a folder is not', () => {
  const tree = emptyTree();
  place(tree, tree.root, 'old', makeFile('of the image'));
  place(tree, tree.root, 'opt', makeDirectory());
  const account = editTree(tree, { isBase: false });
  layFiles(tree, [added('old')], account);
  assert.equal(String((lookUp(tree, ['old']) as { content: Buffer }).content), 'text');
  assert.throws(() => layFiles(tree, [added('opt')], account), refused(/\/opt is a folder/));
});
