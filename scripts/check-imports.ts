// Holds the layers: imports between packages go down only, and only through a package's index.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const LAYERS: Record<string, readonly string[]> = {
  protocol: [],
  kit: ['protocol'],
  vmm: ['protocol', 'kit'],
  host: ['protocol', 'kit', 'vmm'],
  machines: ['protocol', 'kit', 'vmm', 'host'],
  'template-manager': ['protocol', 'kit', 'vmm', 'host', 'machines'],
  orchestrator: ['protocol', 'kit', 'vmm', 'host', 'machines'],
  api: ['protocol', 'kit'],
  // Two dialects of the data plane are clients of envd, as the CLI is.
  gateway: ['protocol', 'kit', 'sdk'],
  envd: ['protocol'],
  sdk: ['protocol'],
  // `doctor` looks at the host it runs on, so that it helps when no server runs.
  cli: ['protocol', 'kit', 'sdk', 'host'],
  server: [
    'protocol',
    'kit',
    'vmm',
    'host',
    'machines',
    'template-manager',
    'orchestrator',
    'api',
    'gateway',
    'sdk',
  ],
};

const root = resolve(import.meta.dirname, '..');
const problems: string[] = [];

for (const [name, allowed] of Object.entries(LAYERS)) {
  const source = join(root, 'packages', name, 'src');
  for (const file of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue;
    const path = join(source, file);
    for (const [, target] of readFileSync(path, 'utf8').matchAll(
      /\bfrom\s+'([^']+)'|\bimport\('([^']+)'\)/g,
    )) {
      const problem = target && check(name, allowed, path, target);
      if (problem) problems.push(`${relative(root, path)}: ${problem}`);
    }
  }
}

function check(name: string, allowed: readonly string[], path: string, target: string) {
  if (target.startsWith('.')) {
    const inside = !relative(join(root, 'packages', name), resolve(dirname(path), target)).startsWith('..');
    return inside ? undefined : `'${target}' leaves the package; import it by the package's name`;
  }
  const [, other, rest] = /^@sandbox-backend\/([^/]+)(\/.*)?$/.exec(target) ?? [];
  if (!other || other === name) return undefined;
  if (rest) return `'${target}' reaches past the package's index`;
  return allowed.includes(other) ? undefined : `${name} may not import ${other}`;
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`imports: ${Object.keys(LAYERS).length} packages, every import goes down`);
