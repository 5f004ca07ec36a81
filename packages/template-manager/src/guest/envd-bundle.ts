import { mkdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Operation, run } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { makeEnvdDisk } from './envd-disk.ts';

/** Bun builds without AVX run on every x86-64 processor, an emulated one among them. */
const BUN_PACKAGES: Partial<Record<NodeJS.Architecture, string>> = {
  x64: '@oven/bun-linux-x64-baseline',
  arm64: '@oven/bun-linux-aarch64',
};

/** The Bun executable that npm installed for this machine. */
export function findBun(): string {
  const name = BUN_PACKAGES[process.arch];
  try {
    if (!name) throw new Error(`no Bun for ${process.arch}`);
    return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'bun');
  } catch (cause) {
    throw new SandboxError('failed_precondition', 'Bun, which runs envd in the guest, is not installed', {
      cause,
      hint: 'Run npm ci in the checkout.',
    });
  }
}

/** Bundles envd to one file and puts it on its disk; does nothing when the disk of this version exists. */
export async function prepareEnvdDisk(op: Operation, folder: string): Promise<string> {
  const bun = findBun();
  const source = join(import.meta.dirname, '..', '..', '..', 'envd', 'src', 'main.ts');
  const bundle = join(folder, `envd-${process.pid}.js`);
  await mkdir(folder, { recursive: true });
  try {
    await op.phase('bundle envd', () =>
      run(bun, ['build', '--target=bun', '--minify', `--outfile=${bundle}`, source], { signal: op.signal }),
    );
    return await op.phase('envd disk', () => makeEnvdDisk(op, folder, { bun, bundle }));
  } finally {
    await rm(bundle, { force: true });
  }
}
