import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { buildProgram } from '../program.ts';
import { renderCompletion } from './render.ts';

/** What the shell offers at the end of the words. */
async function complete(shell: 'bash' | 'zsh', ...words: string[]): Promise<string[]> {
  const script = renderCompletion(await buildProgram(() => true), shell);
  const call = `COMP_WORDS=(sandbox-cli "$@"); COMP_CWORD=$#; _sandbox_cli; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ['--noprofile', '--norc', '-c', `${script}\n${call}`, 'test', ...words];
  return execFileSync('bash', args, { encoding: 'utf8' }).trim().split('\n');
}

test('bash offers commands, options and what begins like the word', async () => {
  assert.deepEqual(await complete('bash', 'sa'), ['sandbox']);
  assert.deepEqual(await complete('bash', 'sandbox', 'cr'), ['create']);
  assert.deepEqual(await complete('bash', 'sandbox', 'create', '--te'), ['--template']);
  assert.deepEqual(await complete('bash', '-v', 'sandbox', 'rm', '--ye'), ['--yes']);
  assert.deepEqual(await complete('bash', 'sandbox', 'ls', '--or'), ['--orphan']);
  assert.deepEqual(await complete('bash', 'sandbox', 'create', '--fr'), ['--from-snapshot']);
  assert.deepEqual(await complete('bash', 'sandbox', 'snap'), ['snapshot']);
  assert.deepEqual(await complete('bash', 'cgroup', ''), [
    'recreate',
    '--api-url',
    '--sandbox-url',
    '--api-key',
    '--data-root',
    '--ip',
    '--port',
    '--verbose',
    '--help',
  ]);
  assert.deepEqual(await complete('bash', 'network', 'del'), ['delete', 'del']);
  const all = await complete('bash', 'template', '');
  for (const name of ['build', 'ls', 'inspect', 'delete', '--help']) assert.ok(all.includes(name), name);
});

test('zsh can read its script', async (t) => {
  const script = renderCompletion(await buildProgram(() => true), 'zsh');
  try {
    execFileSync('zsh', ['-n', '-c', script]);
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code !== 'ENOENT') throw caught;
    t.skip('zsh is not installed: its completion script was not read by it');
  }
});
