import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { dataRoot } from './server.ts';

/**
 * The Python of an environment with these packages from PyPI (`name==version`), which is kept in the data folder of the tests;
 * undefined when this host cannot make one. The imports must work in it.
 */
export function pythonWith(packages: string[], imports: string): string | undefined {
  const folder = join(dataRoot, 'cache', `python-${packages.join('-').replaceAll('==', '-')}`);
  const python = join(folder, 'bin/python');
  const isReady = () => {
    try {
      execFileSync(python, ['-c', `import ${imports}`], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };
  if (existsSync(python) && isReady()) return python;
  try {
    rmSync(folder, { recursive: true, force: true });
    execFileSync('python3', ['-m', 'venv', folder], { stdio: 'pipe' });
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...packages], {
      stdio: 'pipe',
      timeout: 300_000,
    });
  } catch {
    return undefined;
  }
  return isReady() ? python : undefined;
}
