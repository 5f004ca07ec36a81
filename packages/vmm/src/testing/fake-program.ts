import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** An executable that is a fake VMM, with a fault if one is named; see `fake-vmm-program.ts`. */
export async function fakeProgram(
  folder: string,
  flavor: 'firecracker' | 'cloud-hypervisor',
  fault = '',
): Promise<string> {
  const path = join(folder, `fake-${flavor}${fault.replaceAll(/\W+/g, '-')}`);
  const program = join(import.meta.dirname, 'fake-vmm-program.ts');
  const script = `#!/bin/sh\nFAKE_FAULT='${fault}' exec '${process.execPath}' '${program}' ${flavor} "$@"\n`;
  await writeFile(path, script, { mode: 0o755 });
  return path;
}
