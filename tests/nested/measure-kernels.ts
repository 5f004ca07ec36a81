/**
 * Times the boot of a template's machine, from the start of its VMM to envd's first answer, with each kernel in the data
 * folder: Debian's (`default`) and those of `scripts/build-kernel.sh`. Prints the medians as JSON, in milliseconds.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '@sandbox-backend/kit';
import { checkout, dataRoot, hostEnv } from '../harness/server.ts';

const ROUNDS = 3;
const TEMPLATE = 'kernel-boot';

const base = JSON.parse(
  readFileSync(join(checkout, 'packages/template-manager/templates/default-sandbox.json'), 'utf8'),
);
const file = join(dataRoot, `${TEMPLATE}.json`);
const kernels: Record<string, { version: string; bootMs: number }> = {};
try {
  for (const name of readdirSync(join(dataRoot, 'kernels')).toSorted()) {
    writeFileSync(file, JSON.stringify({ ...base, template: TEMPLATE, kernelVersion: name }));
    const samples: number[] = [];
    for (let round = 0; round < ROUNDS; round++) samples.push(await bootMs());
    const version = readFileSync(join(dataRoot, 'kernels', name, 'version'), 'utf8').trim();
    kernels[name] = { version, bootMs: samples.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)]! };
  }
} finally {
  rmSync(file, { force: true });
  rmSync(join(dataRoot, 'templates', TEMPLATE), { recursive: true, force: true });
}
console.log(JSON.stringify({ rounds: ROUNDS, kernels }));

/** As a build tells it in its progress: `done    boot    8.2 s`. */
async function bootMs(): Promise<number> {
  const { stderr } = await run(join(checkout, 'bin/template-manager'), ['--template', file], {
    env: { ...process.env, ...hostEnv },
    signal: AbortSignal.timeout(600_000),
  });
  const seconds = /^done +boot +([\d.]+) s$/m.exec(stderr)?.[1];
  if (seconds === undefined) throw new Error(`the build told no boot:\n${stderr}`);
  return Number(seconds) * 1000;
}
