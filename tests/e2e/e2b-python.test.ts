import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { pythonWith } from '../harness/python-environment.ts';
import { checkout, ensureDefaultTemplate, startServer } from '../harness/server.ts';

const python = pythonWith(['e2b==2.63.0'], 'e2b');
const skip = python
  ? false
  : 'DID NOT RUN: there is no Python here with the package e2b (python3-venv, PyPI)';

// The published PyPI package, unmodified: only the environment tells it where the server is.
describe('the PyPI package e2b', { skip }, () => {
  test('passes the tests of e2b_sdk.py', { timeout: 10 * 60_000 }, async () => {
    ensureDefaultTemplate();
    await using server = await startServer();
    const child = spawn(python!, ['-m', 'unittest', '-v', join(checkout, 'tests/harness/e2b_sdk.py')], {
      env: { ...process.env, ...server.env, PYTHONDONTWRITEBYTECODE: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const status = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
    assert.equal(status, 0, `${output}\n${server.log().slice(-4000)}`);
    assert.match(output, /^OK$/m, output);
    console.log(/^Ran \d+ tests/m.exec(output)?.[0]);
  });
});
