import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { checkout, dataRoot, ensureDefaultTemplate, startServer } from '../harness/server.ts';

const python = process.env.PYTHON ?? 'python3';
const folder = join(checkout, 'python');
const venv = join(dataRoot, 'cache/python-sdk');
const sh = promisify(execFile);

// Our own SDK, installed as a user installs it, against a real server and real machines.
describe('the Python SDK of this repository', { skip: missing() }, () => {
  test('passes its tests, against fakes and against this server', { timeout: 20 * 60_000 }, async () => {
    await install();
    ensureDefaultTemplate();
    await using server = await startServer();
    const { status, output } = await pytest({
      SANDBOX_BACKEND_ADDR: '127.0.0.1',
      ...readPorts(),
      SANDBOX_TEST_CODE_INTERPRETER: hasTemplate('default-code-interpreter')
        ? 'default-code-interpreter'
        : '',
    });
    assert.equal(status, 0, `${output}\n${server.log().slice(-4000)}`);
    assert.match(output, /\d+ passed/);
    console.log(output.trimEnd().split('\n').at(-1));
  });
});

function missing(): string | false {
  const { status } = spawnSync(python, [
    '-c',
    'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))',
  ]);
  if (status === 0) return false;
  return `${python} is not here, is older than 3.10, or has no venv and pip: apt-get install python3-venv`;
}

/** An environment of the tests' own. It is kept, and the package itself is installed anew in every run. */
async function install(): Promise<void> {
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  if (!existsSync(join(venv, 'bin/pytest'))) {
    rmSync(venv, { recursive: true, force: true });
    await sh(python, ['-m', 'venv', venv]);
    await sh(join(venv, 'bin/python'), [...pip, `${folder}[test]`], { timeout: 10 * 60_000 });
  }
  await sh(join(venv, 'bin/python'), [...pip, '--force-reinstall', '--no-deps', folder], {
    timeout: 5 * 60_000,
  });
}

/** Runs in the environment's folder, where the installed package is found and not the sources. */
function pytest(env: Record<string, string>): Promise<{ status: number | null; output: string }> {
  const args = ['-X', 'dev', join(venv, 'bin/pytest'), '-q', '-p', 'no:cacheprovider'];
  return new Promise((resolve, reject) => {
    const child = spawn(
      join(venv, 'bin/python'),
      [...args, '-c', join(folder, 'pyproject.toml'), join(folder, 'tests')],
      {
        cwd: venv,
        env: { ...process.env, ...env, PYTHONDONTWRITEBYTECODE: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, output }));
  });
}

function readPorts(): Record<string, string> {
  const { seedControlAddress, seedProxyUrl } = JSON.parse(
    readFileSync(join(dataRoot, 'server.json'), 'utf8'),
  ) as { seedControlAddress: string; seedProxyUrl: string };
  return {
    SANDBOX_CONTROL_PORT: new URL(`http://${seedControlAddress}`).port,
    SANDBOX_PROXY_PORT: new URL(seedProxyUrl).port,
  };
}

function hasTemplate(name: string): boolean {
  return existsSync(join(dataRoot, 'templates', name, 'current/manifest.json'));
}
