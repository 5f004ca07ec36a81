import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Sandbox } from 'e2b';
import { type CellOptions, runCell } from '../harness/kernel-client.ts';
import { checkout, dataRoot, hostEnv, startServer, type TestServer } from '../harness/server.ts';

const TEMPLATE = 'default-code-interpreter';

const skip = process.env.SANDBOX_SKIP_CODE_INTERPRETER
  ? 'SANDBOX_SKIP_CODE_INTERPRETER is set: nothing of the code interpreter was tested'
  : false;

// What the seed's clients do with their code interpreter, without credentials for Jupyter.
describe('the code interpreter of the seed', { skip }, () => {
  let server: TestServer;
  let one: Sandbox;
  let other: Sandbox;
  let kernel: string;

  before(async () => {
    ensureTemplate();
    server = await startServer();
    Object.assign(process.env, server.env);
    one = await Sandbox.create(TEMPLATE, { timeoutMs: 1_200_000 });
    other = await Sandbox.create(TEMPLATE, { timeoutMs: 1_200_000 });
    kernel = await one.files.read('/home/user/.jupyter/kernel_id');
  });
  after(async () => {
    await Promise.all([one?.kill(), other?.kill()]);
    await server?.[Symbol.asyncDispose]();
  });

  /** Jupyter's HTTP API, through the gateway, addressed by the headers of E2B's clients. */
  const jupyter = async (sandbox: Sandbox, method: string, path: string, body?: unknown) => {
    const response = await fetch(`${server.sandboxUrl}${path}`, {
      method,
      headers: { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '8888' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  };

  /** A cell, through the gateway, addressed by the host name. */
  const run = (sandbox: Sandbox, code: string, options: CellOptions & { kernel?: string } = {}) =>
    runCell(
      {
        url: `${server.sandboxUrl.replace(/^http/, 'ws')}/api/kernels/${options.kernel ?? kernel}/channels`,
        headers: { Host: `8888-${sandbox.sandboxId}.sandbox.test` },
      },
      code,
      options,
    );

  /** The value of a Python expression that is JSON. */
  const value = async (sandbox: Sandbox, expression: string) => {
    const cell = await run(sandbox, `import json\nprint(json.dumps(${expression}))`);
    assert.equal(cell.error, undefined, cell.error?.traceback);
    return JSON.parse(cell.stdout);
  };

  test('its default kernel runs already, is the only one, and has run no cell of anybody', async () => {
    assert.match(kernel, /^[0-9a-f-]{36}$/);
    const { status, body } = await jupyter(one, 'GET', '/api/kernels');
    assert.equal(status, 200);
    assert.deepEqual(
      body.map((row: { id: string; name: string }) => [row.id, row.name]),
      [[kernel, 'python3']],
    );
    const cell = await run(one, '%who_ls');
    assert.equal(cell.text, '[]');
    assert.equal(cell.count, 1);
  });

  test('a sandbox begins with a kernel that has loaded what most cells need', async () => {
    assert.deepEqual(
      await value(
        other,
        "[name in __import__('sys').modules for name in ('numpy', 'pandas', 'matplotlib.pyplot')]",
      ),
      [true, true, true],
    );
  });

  test('two sandboxes do not draw the same random numbers', async () => {
    const draw =
      '[__import__("random").random(), __import__("numpy").random.random(), __import__("numpy").random.default_rng().random(), __import__("uuid").uuid4().hex, __import__("ssl").RAND_bytes(8).hex()]';
    const first = await value(one, draw);
    const second = await value(other, draw);
    first.forEach((drawn: unknown, index: number) => {
      assert.notEqual(drawn, second[index], `number ${index}`);
    });
  });

  test('a seed that a cell has set holds in the cells after it', async () => {
    await run(one, 'import random; random.seed(7)');
    const drawn = await value(one, 'random.random()');
    await run(other, 'import random; random.seed(7)');
    assert.equal(await value(other, 'random.random()'), drawn);
  });

  test('the clock is that of the host', async () => {
    const before = Date.now() / 1000;
    const inside = await value(other, '__import__("time").time()');
    assert.ok(inside > before - 1 && inside < Date.now() / 1000 + 1, `${inside} at ${before}`);
  });

  test('it runs as the user, in the home folder, and finds what pip installs', async () => {
    assert.deepEqual(await value(one, '[__import__("getpass").getuser(), __import__("os").getcwd()]'), [
      'user',
      '/home/user',
    ]);
    const { stdout } = await one.commands.run('ps -o user= -C jupyter-server');
    assert.equal(stdout, 'user\n');
    assert.equal(
      await value(
        one,
        '(lambda site: site.getusersitepackages() in __import__("sys").path)(__import__("site"))',
      ),
      true,
    );
  });

  test('output, result and state of cells', async () => {
    const cell = await run(one, 'import sys\nx = 20\nprint("out")\nprint("err", file=sys.stderr)\nx + 1');
    assert.deepEqual([cell.stdout, cell.stderr, cell.text], ['out\n', 'err\n', '21']);
    assert.deepEqual(
      [cell.answers[0]?.content, cell.answers[1]?.type],
      [{ execution_state: 'busy' }, 'execute_input'],
    );
    assert.equal((await run(one, 'x * 2')).text, '40');
    assert.equal((await run(other, 'x')).error?.name, 'NameError', 'sandboxes share no state');
  });

  test('an error has its name, its value and a traceback', async () => {
    const { error, answers } = await run(one, 'def f():\n    return 1 / 0\nf()');
    assert.deepEqual([error?.name, error?.value], ['ZeroDivisionError', 'division by zero']);
    assert.match(error?.traceback ?? '', /return/);
    assert.equal(answers.find(({ type }) => type === 'execute_reply')?.content.status, 'error');
  });

  test('a figure comes as a PNG, without a call for it, and a data frame as HTML', async () => {
    const { pngs } = await run(one, 'import matplotlib.pyplot as plt\nplt.plot([1, 2, 3]);');
    assert.equal(pngs.length, 1);
    const png = Buffer.from(pngs[0]!, 'base64');
    assert.equal(png.toString('latin1', 1, 4), 'PNG');
    assert.ok(png.readUInt32BE(16) > 300, 'it is as wide as a figure');
    const { answers } = await run(one, 'import pandas as pd\npd.DataFrame({"a": [1]})');
    const result = answers.find(({ type }) => type === 'execute_result');
    assert.match((result?.content.data as Record<string, string> | undefined)?.['text/html'] ?? '', /<table/);
  });

  test('a cell that prints megabytes at once is heard in full', async () => {
    const { stdout } = await run(one, 'for _ in range(50): print("x" * 99_999)');
    assert.equal(stdout.length, 5_000_000);
  });

  test('an interrupt ends a cell, and the state stays', async () => {
    await run(one, 'kept = 1');
    let asked: Promise<{ status: number }> | undefined;
    const cell = await run(one, 'import time\nprint("began", flush=True)\nwhile True: time.sleep(0.05)', {
      onAnswer: ({ type }) => {
        if (type === 'stream') asked ??= jupyter(one, 'POST', `/api/kernels/${kernel}/interrupt`);
      },
    });
    assert.equal(cell.error?.name, 'KeyboardInterrupt');
    assert.equal((await asked)?.status, 204);
    assert.equal((await run(one, 'kept')).text, '1');
  });

  test('a restart forgets the state, and the kernel keeps its id', async () => {
    await run(one, 'forgotten = 1');
    const { status, body } = await jupyter(one, 'POST', `/api/kernels/${kernel}/restart`);
    assert.deepEqual([status, body.id], [200, kernel]);
    assert.equal((await run(one, 'forgotten')).error?.name, 'NameError');
  });

  test('another kernel is made, moved and removed', async () => {
    const path = randomUUID();
    const made = await jupyter(one, 'POST', '/api/sessions', {
      path,
      name: path,
      type: 'notebook',
      kernel: { name: 'python3' },
    });
    assert.equal(made.status, 201);
    const { id } = made.body.kernel;
    const moved = await jupyter(one, 'PATCH', `/api/sessions/${made.body.id}`, { path: '/home/user' });
    assert.deepEqual([moved.status, moved.body.path], [200, '/home/user']);
    const cell = await run(one, 'import os; os.getcwd()', { kernel: id });
    assert.deepEqual([cell.text, cell.count], ["'/home/user'", 1]);
    assert.equal((await jupyter(one, 'DELETE', `/api/kernels/${id}`)).status, 204);
    const { body } = await jupyter(one, 'GET', '/api/kernels');
    assert.deepEqual(
      body.map((row: { id: string }) => row.id),
      [kernel],
    );
  });
});

/** Builds the template in the tests' data folder, once for every content of its files: minutes the first time. */
function ensureTemplate(): void {
  const templates = join(checkout, 'packages/template-manager/templates');
  const specification = join(templates, `${TEMPLATE}.json`);
  const hash = createHash('sha256').update(readFileSync(specification));
  const files = readdirSync(join(templates, TEMPLATE), { recursive: true, encoding: 'utf8' }).sort();
  for (const name of files) {
    const path = join(templates, TEMPLATE, name);
    if (statSync(path).isFile()) hash.update(`\n${name}\n`).update(readFileSync(path));
  }
  const digest = hash.digest('hex');
  const stamp = join(dataRoot, `templates/${TEMPLATE}/tested`);
  // What the specification names is not compared by `--if-needed`.
  const isSame = existsSync(stamp) && readFileSync(stamp, 'utf8') === digest;
  const needed = isSame ? ['--if-needed'] : [];
  execFileSync(join(checkout, 'bin/template-manager'), ['--template', specification, '--json', ...needed], {
    env: { ...process.env, ...hostEnv },
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 ** 2,
    timeout: 30 * 60_000,
  });
  writeFileSync(stamp, digest);
}
