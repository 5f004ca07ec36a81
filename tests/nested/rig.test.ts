import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

/** The machine in which scripts/test-kvm.sh runs its suites; here it is only looked at. */
test('the rig has a true /dev/kvm and the project, and brings back output and exit status', async () => {
  const script = [
    'test -c /dev/kvm && echo it-has-kvm',
    'grep -qw svm /proc/cpuinfo && echo it-has-svm',
    'node_modules/.bin/node -e "console.log(process.version)"',
    'echo "$GREETING"',
    'exit 7',
  ].join('; ');
  const run = join(import.meta.dirname, 'run.ts');
  const args = [run, '--timeout', '900', '--env', "GREETING=it's here", '--', 'sh', '-c', script];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [printed, [status]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  assert.match(printed, /^it-has-kvm$/m);
  assert.match(printed, /^it-has-svm$/m);
  assert.match(printed, /^v24\./m);
  assert.match(printed, /^it's here$/m);
  assert.equal(status, 7);
});
