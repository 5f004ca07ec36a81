import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { holdings } from '../harness/leaks.ts';
import {
  checkout,
  dataRoot,
  ensureDefaultTemplate,
  startServer,
  type TestServer,
} from '../harness/server.ts';

const node = process.execPath;

describe('bad input to the API', () => {
  let server: TestServer;
  before(async () => {
    ensureDefaultTemplate();
    server = await startServer({ SANDBOX_SPARE_SLOTS: '0' });
  });
  after(() => server?.[Symbol.asyncDispose]());

  const send = async (method: string, path: string, body?: string, key = server.apiKey) => {
    const response = await fetch(`${server.apiUrl}${path}`, {
      method,
      headers: { 'X-API-KEY': key, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body }),
    });
    return {
      status: response.status,
      body: (await response.json()) as { code: number; message: string; error_code: string },
    };
  };

  for (const [what, method, path, body, status, code, names] of [
    ['an unknown template', 'POST', '/sandboxes', '{"templateID":"nope"}', 404, 'not_found', /nope/],
    ['malformed JSON', 'POST', '/v2/sandboxes', '{"templateID":', 400, 'invalid_argument', /JSON/],
    ['a wrong type', 'POST', '/v2/sandboxes', '{"templateID":7}', 400, 'invalid_argument', /templateID/],
    [
      'a wrong timeout',
      'POST',
      '/sandboxes',
      '{"templateID":"default-sandbox","timeout":"long"}',
      400,
      'invalid_argument',
      /timeout/,
    ],
    ['an id that climbs', 'GET', '/sandboxes/..%2f..%2fetc', undefined, 400, 'invalid_argument', /id/],
    [
      'a template name that climbs',
      'POST',
      '/sandboxes',
      '{"templateID":"../../etc"}',
      404,
      'not_found',
      /etc/,
    ],
    [
      'an unknown sandbox',
      'DELETE',
      '/sandboxes/i00000000000000000000',
      undefined,
      404,
      'not_found',
      /i00000000000000000000/,
    ],
    ['an unknown route', 'GET', '/nothing-here', undefined, 404, 'not_found', /nothing-here/],
  ] as const) {
    test(`${what} is ${status} ${code}`, async () => {
      const before = holdings();
      const answer = await send(method, path, body);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.equal(answer.body.code, status);
      assert.equal(answer.body.error_code, code);
      assert.match(answer.body.message, names);
      assert.doesNotMatch(answer.body.message, /\.ts:\d+|at async/, 'no stack trace');
      assert.deepEqual(holdings(), before);
    });
  }

  test('a wrong key is 401', async () => {
    assert.equal((await send('GET', '/sandboxes', undefined, 'e2b_0000')).status, 401);
  });
});

describe('a host that is not as it should be', () => {
  before(ensureDefaultTemplate);

  const serve = (env: Record<string, string>, options: { uid?: number } = {}) =>
    spawnSync(node, [join(checkout, 'packages/server/src/main.ts')], {
      env: {
        ...process.env,
        SANDBOX_DATA_ROOT: dataRoot,
        SANDBOX_API_LISTEN: '0',
        SANDBOX_GATEWAY_LISTEN: '0',
        ...env,
      },
      encoding: 'utf8',
      timeout: 60_000,
      ...options,
    });

  test('a port in use', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const address = holder.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const before = holdings();
    const { status, stderr } = serve({ SANDBOX_API_LISTEN: String(port) });
    holder.close();
    assert.notEqual(status, 0);
    assert.match(stderr, new RegExp(`${port}.*in use`));
    assert.match(stderr, /SANDBOX_API_LISTEN/);
    assert.deepEqual(holdings(), before);
  });

  test('a VMM that is missing', () => {
    const { status, stderr } = serve({ SANDBOX_QEMU: '/nonexistent/qemu' });
    assert.notEqual(status, 0);
    assert.match(stderr, /\/nonexistent\/qemu/);
    assert.match(stderr, /hint:/);
  });

  test('no root', (t) => {
    const { status: unreadable } = spawnSync('test', ['-r', join(checkout, 'package.json')], { uid: 65534 });
    if (unreadable !== 0) return t.skip(`DID NOT RUN: nobody but root may enter ${checkout}`);
    const { status, stderr } = serve({}, { uid: 65534 });
    assert.notEqual(status, 0);
    assert.match(stderr, /root/);
  });

  test('a VMM that dies at once explains itself in the error of the create, and nothing is left', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vmm-'));
    const fake = join(folder, 'qemu-fake');
    const real = execFileSync('sh', ['-c', 'command -v qemu-system-x86_64'], { encoding: 'utf8' }).trim();
    writeFileSync(
      fake,
      `#!/bin/sh\ncase "$1" in --version|-version|-machine|-M) exec ${real} "$@";; esac\necho 'cannot set up guest memory' >&2; exit 1\n`,
    );
    chmodSync(folder, 0o755);
    chmodSync(fake, 0o755);
    try {
      await using server = await startServer({
        SANDBOX_QEMU: fake,
        SANDBOX_ACCELERATOR: 'tcg',
        SANDBOX_SPARE_SLOTS: '0',
      });
      const before = holdings();
      const response = await fetch(`${server.apiUrl}/sandboxes`, {
        method: 'POST',
        headers: { 'X-API-KEY': server.apiKey, 'content-type': 'application/json' },
        body: '{"templateID":"default-sandbox"}',
      });
      const text = await response.text();
      assert.ok(response.status >= 500, text);
      assert.match(text, /VMM/);
      assert.match(server.log(), /cannot set up guest memory|No such file|not found/);
      assert.deepEqual(holdings(), before);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
