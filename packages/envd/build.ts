// node build.ts [--compile] OUTPUT — bundles envd to one JavaScript file for the Bun executable,
// or with --compile to one executable with Bun inside.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { compile: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [output] = positionals;
if (!output) {
  console.error('usage: node build.ts [--compile] OUTPUT');
  process.exit(2);
}
const packageName = process.arch === 'arm64' ? '@oven/bun-linux-aarch64' : '@oven/bun-linux-x64-baseline';
const bun = join(
  dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)),
  'bin',
  'bun',
);
execFileSync(
  bun,
  [
    'build',
    '--target=bun',
    '--minify',
    ...(values.compile ? ['--compile', '--bytecode'] : []),
    `--outfile=${resolve(output)}`,
    join(import.meta.dirname, 'src', 'main.ts'),
  ],
  { stdio: 'inherit' },
);
