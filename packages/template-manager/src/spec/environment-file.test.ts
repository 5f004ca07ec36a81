import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { parseEnvironmentFile, readEnvironmentFile } from './environment-file.ts';

const cases: [what: string, text: string, expected: Record<string, string>][] = [
  ['plain', 'A=1\nB=two words\n', { A: '1', B: 'two words' }],
  ['empty', 'A=\nB=""\n', { A: '', B: '' }],
  ['no last newline, and Windows line ends', 'A=1\r\nB=2', { A: '1', B: '2' }],
  ['comments and blank lines', '# A=0\n\n  ; B=0\nA=1 # kept\n', { A: '1 # kept' }],
  ['a comment that goes on', '# one \\\nA=0\nB=1', { B: '1' }],
  ['blanks around', '  A =  x y  \nB=1', { A: 'x y', B: '1' }],
  ['single quotes', "A='a \\n \" $B'", { A: 'a \\n " $B' }],
  ['double quotes', 'A="a \\" \\$ \\\\ \\n \' $B"', { A: 'a " $ \\ \\n \' $B' }],
  ['quotes over lines', 'A="one\ntwo"\nB=\'x\ny\'', { A: 'one\ntwo', B: 'x\ny' }],
  ['joined quotes', 'A=\'a\'"b"c', { A: 'abc' }],
  ['a quote inside', "A=it's", { A: "it's" }],
  ['joined lines', 'A=one\\\ntwo', { A: 'onetwo' }],
  ['a backslash', 'A=a\\ b\\\\\nB=x\\ ', { A: 'a b\\', B: 'x ' }],
  ['equals in the value', 'A=b=c', { A: 'b=c' }],
  ['the last one counts', 'A=1\nA=2', { A: '2' }],
];
for (const [what, text, expected] of cases) {
  test(`environment file: ${what}`, () => assert.deepEqual(parseEnvironmentFile(text), expected));
}

for (const [text, line] of [
  ['A=1\nexport B=2', 2],
  ['A', 1],
  ['1A=x', 1],
  ['A=1\n\n="x', 3],
  ['A="secret', 1],
  ["A=1\nB='secret", 2],
] as const) {
  test(`environment file: ${JSON.stringify(text)} is refused with its line, which is not shown`, () => {
    assert.throws(
      () => parseEnvironmentFile(text),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'invalid_argument');
        assert.match(error.message, new RegExp(`line ${line} `));
        return !error.message.includes('secret');
      },
    );
  });
}

test('what is written in single quotes is read again', () => {
  const value = fc.string({ unit: 'binary' }).map((text) => text.replaceAll(/['\0\r]/g, ''));
  fc.assert(
    fc.property(fc.array(value), (values) => {
      const text = values.map((value, index) => `V${index}='${value}'\n`).join('');
      assert.deepEqual(Object.values(parseEnvironmentFile(text)), values);
    }),
  );
});

test('a file is read, and named when it is missing or wrong', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'env-file-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'x.env');
  await assert.rejects(readEnvironmentFile(path), { code: 'not_found', message: /x\.env/ });
  await writeFile(path, 'A=1\n');
  assert.deepEqual(await readEnvironmentFile(path), { A: '1' });
  await writeFile(path, 'A\n');
  await assert.rejects(readEnvironmentFile(path), { code: 'invalid_argument', message: /x\.env: line 1/ });
});
