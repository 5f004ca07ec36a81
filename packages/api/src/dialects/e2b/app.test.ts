import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test from 'node:test';
import { openTestApi } from '../../testing/test-api.ts';

const create = { templateID: 'base' };
/** A dollar sign, then the name of the placeholder. */
const HOST_MASK = `x.test:$${'{PORT}'}`;

test('the two creates differ in their defaults only', async () => {
  await using api = await openTestApi();
  const lifetime = async (id: string) => {
    const { json } = await api.send('GET', `/sandboxes/${id}`);
    return (Date.parse(json.endAt) - Date.parse(json.startedAt)) / 1000;
  };
  const one = await api.send('POST', '/sandboxes', create);
  assert.equal(one.status, 201);
  assert.match(one.json.sandboxID, /^i[a-z0-9]{20}$/);
  assert.equal(one.json.envdAccessToken, undefined);
  assert.equal(await lifetime(one.json.sandboxID), 15);
  assert.match(one.headers.get('Server-Timing') ?? '', /template;dur=.*fake_start;dur=.*total;dur=/);

  const two = await api.send('POST', '/v2/sandboxes', create);
  assert.match(two.json.envdAccessToken, /^[0-9a-f]{64}$/);
  assert.equal(await lifetime(two.json.sandboxID), 300);
  assert.equal(api.node.find(two.json.sandboxID)?.accessToken, two.json.envdAccessToken);
  assert.equal(
    (await api.send('GET', `/sandboxes/${two.json.sandboxID}`)).json.envdAccessToken,
    two.json.envdAccessToken,
  );
});

test('what the client asks for reaches the node and the detail', async () => {
  await using api = await openTestApi();
  const { json } = await api.send(
    'POST',
    '/v2/sandboxes',
    {
      templateID: 'base:default',
      timeout: 60,
      envVars: { A: '1' },
      metadata: { user: 'a&b=c %' },
      network: { denyOut: ['0.0.0.0/0'], allowPublicTraffic: false, maskRequestHost: HOST_MASK },
      mcp: { browserbase: {} },
      secure: null,
      novelty: true,
    },
    { 'X-Sandbox-Cold': '1' },
  );
  const asked = api.node.started[0]!;
  assert.deepEqual(asked, {
    sandboxId: json.sandboxID,
    template: 'base',
    env: { A: '1' },
    allowInternet: false,
    accessToken: json.envdAccessToken,
    cold: true,
  });
  const detail = (await api.send('GET', `/sandboxes/${json.sandboxID}-6532622b`)).json;
  assert.match(detail.pathAddress, new RegExp(`^${json.sandboxID}\\.[0-9a-f]{32}$`));
  assert.deepEqual(detail.metadata, { user: 'a&b=c %' });
  assert.equal(detail.allowInternetAccess, false);
  assert.deepEqual(detail.network, {
    allowPublicTraffic: false,
    denyOut: ['0.0.0.0/0'],
    maskRequestHost: HOST_MASK,
  });
  assert.deepEqual(api.resolveSandbox(json.sandboxID), {
    sandboxId: json.sandboxID,
    state: 'running',
    address: '127.0.0.1',
    envdPort: 49983,
    accessToken: json.envdAccessToken,
    trafficToken: json.trafficAccessToken,
    pathToken: detail.pathAddress.slice(json.sandboxID.length + 1),
    maskRequestHost: HOST_MASK,
  });
});

for (const [field, value] of Object.entries({
  autoPause: true,
  autoPauseMemory: false,
  autoResume: { enabled: true },
  volumeMounts: [{ name: 'v', path: '/v' }],
  iam: { tokens: { t: { audience: 'a', tokenType: 'b' } } },
  'network.rules': { 'example.com': [] },
  'network.egressProxy': { address: 'p:1080' },
  'network.httpsPorts': [443],
  'network.allowOut': ['example.com'],
  'network.denyOut': ['10.0.0.0/8'],
})) {
  test(`${field} is refused by name, not ignored`, async () => {
    await using api = await openTestApi();
    const [outer, inner] = field.split('.') as [string, string?];
    const body = { ...create, [outer]: inner ? { [inner]: value } : value };
    const { status, json } = await api.send('POST', '/v2/sandboxes', body);
    assert.equal(status, 400);
    assert.match(json.message, new RegExp(`^${field.replace('.', '\\.')} is not supported.*\n.+`));
    assert.equal(api.node.started.length, 0);
  });
}

test('what asks for nothing is accepted', async () => {
  await using api = await openTestApi();
  const body = {
    ...create,
    autoPause: false,
    autoPauseMemory: true,
    autoResume: { enabled: false },
    volumeMounts: [],
    iam: {},
    allow_internet_access: true,
    metadata: null,
    network: { allowOut: [], denyOut: [], rules: {}, egressProxy: null, allowPublicTraffic: true },
  };
  assert.equal((await api.send('POST', '/v2/sandboxes', body)).status, 201);
});

for (const [what, method, path, body, status, text] of [
  ['an unknown template', 'POST', '/sandboxes', { templateID: 'nope' }, 404, /^template 'nope' not found/],
  ['an unknown tag', 'POST', '/sandboxes', { templateID: 'base:v2' }, 404, /^template 'base:v2' not found/],
  ['a namespace', 'POST', '/sandboxes', { templateID: 'me/base' }, 404, /^template 'me\/base' not found/],
  ['a timeout of 0', 'POST', '/sandboxes', { ...create, timeout: 0 }, 400, /^timeout is 0.*\n/],
  ['a timeout before now', 'POST', '/sandboxes', { ...create, timeout: -1 }, 400, /^timeout is -1/],
  ['a timeout beyond the protocol', 'POST', '/sandboxes', { ...create, timeout: 2 ** 31 }, 400, /2147483647/],
  ['a fraction', 'POST', '/sandboxes', { ...create, timeout: 1.5 }, 400, /timeout: /],
  ['no template', 'POST', '/sandboxes', {}, 400, /templateID: /],
  ['no body', 'POST', '/sandboxes', undefined, 400, /templateID: /],
  ['a wrong type', 'POST', '/sandboxes', { ...create, metadata: { a: 1 } }, 400, /metadata\.a: /],
  ['a name with =', 'POST', '/sandboxes', { ...create, envVars: { 'a=b': '1' } }, 400, /envVars/],
  ['an array', 'POST', '/sandboxes', [], 400, /body: /],
  ['malformed JSON', 'POST', '/sandboxes', '{"templateID":', 400, /^The body is not JSON/],
  [
    'a large body',
    'POST',
    '/sandboxes',
    { ...create, metadata: { a: 'x'.repeat(1_100_000) } },
    413,
    /1048576 bytes/,
  ],
  [
    'a bad mask',
    'POST',
    '/v2/sandboxes',
    { ...create, network: { maskRequestHost: 'a\r\nb: c' } },
    400,
    /maskRequestHost/,
  ],
  [
    'private without secure',
    'POST',
    '/sandboxes',
    { ...create, network: { allowPublicTraffic: false } },
    400,
    /secure/,
  ],
  ['an id that climbs', 'GET', '/sandboxes/..%2f..%2fetc', undefined, 400, /not a sandbox id/],
  [
    'an unknown id',
    'GET',
    '/sandboxes/i0',
    undefined,
    404,
    /^Sandbox "i0" doesn't exist or you don't have access to it$/,
  ],
  ['an unknown id', 'POST', '/sandboxes/i0/timeout', { timeout: 5 }, 404, /^Sandbox "i0" doesn't exist/],
  ['an unknown id', 'POST', '/v2/sandboxes/i0/connect', undefined, 404, /^Sandbox "i0" doesn't exist/],
  ['an unknown id', 'GET', '/sandboxes/i0/logs', undefined, 404, /^Sandbox "i0" doesn't exist/],
  ['a bad page', 'GET', '/v2/sandboxes?nextToken=x', undefined, 400, /^nextToken/],
  ['a bad limit', 'GET', '/v2/sandboxes?limit=101', undefined, 400, /limit: /],
  ['a bad state', 'GET', '/v2/sandboxes?state=gone', undefined, 400, /state/],
  ['a bad filter', 'GET', '/sandboxes?metadata=user', undefined, 400, /name=value/],
  ['an unknown route', 'GET', '/nothing-here', undefined, 404, /nothing-here/],
  ['another method', 'PUT', '/sandboxes/i0', undefined, 405, /GET/],
  ['a later verb', 'POST', '/sandboxes/i0/pause', {}, 501, /^Pausing a sandbox is not supported/],
  ['a later verb', 'GET', '/volumes', undefined, 501, /not supported/],
  ['a later verb', 'DELETE', '/templates/tags', undefined, 501, /not supported/],
] as const) {
  test(`${what} (${method} ${path}) is ${status}`, async () => {
    await using api = await openTestApi();
    const answer = await api.send(method, path, body);
    assert.equal(answer.status, status, JSON.stringify(answer.json));
    assert.equal(answer.json.code, status);
    assert.match(answer.json.message, text);
    assert.equal(typeof answer.json.error_code, 'string');
    assert.equal(api.node.started.length, 0);
  });
}

test('content that is not JSON is named', async () => {
  await using api = await openTestApi();
  const answer = await api.send('POST', '/sandboxes', 'templateID=base', {
    'Content-Type': 'application/x-www-form-urlencoded',
  });
  assert.equal(answer.status, 415);
  assert.match(answer.json.message, /Content-Type: application\/json/);
});

test('a body without a length is bounded too', async () => {
  await using api = await openTestApi();
  const { port } = new URL(await api.serve());
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(
    `POST /sandboxes HTTP/1.1\r\nHost: x\r\nX-API-KEY: ${api.key}\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
  let answer = '';
  socket.on('data', (data) => {
    answer += data;
  });
  socket.on('error', () => {});
  for (let sent = 0; sent < 40 && answer === ''; sent++) {
    socket.write(chunk);
    await new Promise(setImmediate);
  }
  while (!answer.includes('"code"')) await new Promise((resolve) => socket.once('data', resolve));
  socket.destroy();
  assert.match(answer, /^HTTP\/1\.1 413/);
});

test('without a valid key nothing answers but the health check', async () => {
  await using api = await openTestApi();
  assert.equal((await api.send('GET', '/health', undefined, { 'X-API-KEY': '' })).status, 204);
  for (const key of ['', 'e2b_0000', `e2b_${'0'.repeat(40)}`]) {
    for (const path of ['/sandboxes', '/v2/sandboxes', '/status', '/teams', '/templates', '/sandboxes/i0']) {
      const { status, json } = await api.send('GET', path, undefined, { 'X-API-KEY': key });
      assert.equal(status, 401, path);
      assert.equal(json.error_code, 'unauthenticated');
    }
  }
  const bearer = { 'X-API-KEY': '', Authorization: `Bearer ${api.key}` };
  assert.equal(
    (await api.app.request('/teams', { headers: { Authorization: bearer.Authorization } })).status,
    200,
  );
});

test('one team never sees or touches what another has', async () => {
  await using api = await openTestApi();
  const { json } = await api.send('POST', '/v2/sandboxes', create);
  const id = json.sandboxID;
  const stranger = { 'X-API-KEY': api.strangersKey() };
  for (const [method, path, body] of [
    ['GET', `/sandboxes/${id}`],
    ['DELETE', `/sandboxes/${id}`],
    ['POST', `/sandboxes/${id}/timeout`, { timeout: 1 }],
    ['POST', `/sandboxes/${id}/refreshes`, { duration: 1 }],
    ['POST', `/sandboxes/${id}/connect`, { timeout: 1 }],
    ['GET', `/sandboxes/${id}/metrics`],
    ['GET', `/sandboxes/${id}/logs`],
  ] as const) {
    assert.equal((await api.send(method, path, body, stranger)).status, 404, `${method} ${path}`);
  }
  for (const path of ['/sandboxes', '/v2/sandboxes']) {
    assert.deepEqual((await api.send('GET', path, undefined, stranger)).json, []);
  }
  assert.deepEqual(
    (await api.send('GET', `/sandboxes/metrics?sandbox_ids=${id}`, undefined, stranger)).json,
    {
      sandboxes: {},
    },
  );
  assert.deepEqual((await api.send('GET', '/status', undefined, stranger)).json.sandboxes, []);
  assert.equal((await api.send('GET', `/sandboxes/${id}`)).status, 200);
});

test('connect extends a life and never shortens it, with or without a body', async () => {
  await using api = await openTestApi();
  const { json } = await api.send('POST', '/v2/sandboxes', { ...create, timeout: 100 });
  const end = async () => (await api.send('GET', `/sandboxes/${json.sandboxID}`)).json.endAt;
  const first = await end();
  for (const body of [undefined, {}, { timeout: 5 }, { timeout: 0 }, { timeout: null }]) {
    const answer = await api.send('POST', `/v2/sandboxes/${json.sandboxID}/connect`, body);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, json);
    assert.equal(await end(), first);
  }
  await api.send('POST', `/sandboxes/${json.sandboxID}/refreshes`, { duration: 5 });
  assert.equal(await end(), first);
  await api.send('POST', `/sandboxes/${json.sandboxID}/connect`, { timeout: 1000 });
  assert.ok((await end()) > first);
  await api.send('POST', `/sandboxes/${json.sandboxID}/timeout`, { timeout: 50 });
  assert.ok((await end()) < first, 'timeout sets it either way');
});

test('a configured maximum bounds every way to set a time', async () => {
  await using api = await openTestApi({ limits: { maxTimeoutSeconds: 60 } });
  assert.match((await api.send('POST', '/sandboxes', { ...create, timeout: 61 })).json.message, /configured/);
  const { json } = await api.send('POST', '/sandboxes', create);
  for (const [verb, body] of [
    ['timeout', { timeout: 61 }],
    ['connect', { timeout: 61 }],
    ['refreshes', { duration: 61 }],
  ] as const) {
    assert.equal((await api.send('POST', `/sandboxes/${json.sandboxID}/${verb}`, body)).status, 400, verb);
  }
});

test('pages are complete and stable while sandboxes come and go', async () => {
  let clock = 1_000_000;
  // Two at a time start in the same millisecond.
  await using api = await openTestApi({ now: () => Math.floor(clock++ / 4) });
  const add = async () => (await api.send('POST', '/sandboxes', create)).json.sandboxID as string;
  const ids = new Set<string>();
  for (let n = 0; n < 10; n++) ids.add(await add());
  for (const order of ['asc', 'desc']) {
    const seen: string[] = [];
    let token = '';
    do {
      const { json, headers } = await api.send(
        'GET',
        `/v2/sandboxes?limit=3&order=${order}&nextToken=${token}`,
      );
      seen.push(...json.map((row: { sandboxID: string }) => row.sandboxID));
      token = headers.get('X-Next-Token') ?? '';
      assert.ok(Number(headers.get('X-Total-Running')) >= 10);
      await add();
    } while (token && seen.length < 100);
    assert.equal(new Set(seen).size, seen.length, 'none twice');
    for (const id of ids) assert.ok(seen.includes(id), 'none left out');
  }
});

test('lists are filtered by metadata, template, state and time', async () => {
  await using api = await openTestApi();
  const strange = { 'a&b': 'c=d', 'quo"te': 'ü %41+', __proto__x: '' };
  const one = (await api.send('POST', '/sandboxes', { ...create, metadata: strange })).json.sandboxID;
  await api.send('POST', '/sandboxes', { ...create, metadata: { 'a&b': 'other' } });
  const ids = async (query: Record<string, string>, path = '/v2/sandboxes') =>
    (await api.send('GET', `${path}?${new URLSearchParams(query)}`)).json.map(
      (row: { sandboxID: string }) => row.sandboxID,
    );
  // As the JavaScript SDK does.
  const metadata = new URLSearchParams(
    Object.fromEntries(
      Object.entries(strange).map(([key, value]) => [encodeURIComponent(key), encodeURIComponent(value)]),
    ),
  ).toString();
  assert.deepEqual(await ids({ metadata }), [one]);
  assert.deepEqual(await ids({ metadata }, '/sandboxes'), [one]);
  assert.equal((await ids({ state: 'running' })).length, 2);
  assert.equal((await ids({ state: 'paused' })).length, 0);
  assert.equal((await ids({ template: 'base:default' })).length, 2);
  assert.equal((await ids({ template: 'other' })).length, 0);
  assert.equal((await ids({ startedAfter: new Date(Date.now() + 60_000).toISOString() })).length, 0);
});

test('metrics and logs come from the node', async () => {
  await using api = await openTestApi();
  api.node.options.logs = [
    { timestamp: '2026-01-01T00:00:00.000Z', level: 'debug', message: 'one' },
    { timestamp: '2026-01-01T00:00:01.000Z', level: 'error', message: 'two' },
  ];
  const { json } = await api.send('POST', '/sandboxes', create);
  const id = json.sandboxID;
  const [metric] = (await api.send('GET', `/sandboxes/${id}/metrics`)).json;
  assert.equal(metric.memTotal, 4000);
  assert.equal(Date.parse(metric.timestamp), metric.timestampUnix * 1000);
  assert.deepEqual((await api.send('GET', `/sandboxes/${id}/metrics?end=5`)).json, []);
  assert.deepEqual(
    Object.keys((await api.send('GET', `/sandboxes/metrics?sandbox_ids=${id},i0`)).json.sandboxes),
    [id],
  );

  const v1 = (await api.send('GET', `/sandboxes/${id}/logs?start=${Date.parse('2026-01-01T00:00:01Z')}`))
    .json;
  assert.deepEqual(v1.logEntries, [{ ...api.node.options.logs[1], fields: {} }]);
  assert.equal(JSON.parse(v1.logs[0].line).level, 'error');
  const v2 = async (query: string) =>
    (await api.send('GET', `/v2/sandboxes/${id}/logs?${query}`)).json.logs.map(
      (row: { message: string }) => row.message,
    );
  assert.deepEqual(await v2('direction=backward'), ['two', 'one']);
  assert.deepEqual(await v2('level=info'), ['two']);
  assert.deepEqual(await v2('search=on'), ['one']);
  assert.deepEqual(await v2('limit=1'), ['one']);

  await api.send('DELETE', `/sandboxes/${id}`);
  assert.deepEqual(await v2('limit=1'), ['one'], 'also when it has ended');
  const stranger = { 'X-API-KEY': api.strangersKey() };
  assert.equal((await api.send('GET', `/v2/sandboxes/${id}/logs`, undefined, stranger)).status, 404);
});

test('templates are listed, found by alias and deleted unless in use', async () => {
  await using api = await openTestApi();
  assert.equal((await api.send('GET', '/templates')).json[0].names[0], 'base');
  assert.deepEqual((await api.send('GET', '/templates/aliases/base')).json, {
    templateID: 'base',
    public: false,
  });
  assert.equal((await api.send('GET', '/templates/aliases/nope')).status, 404);
  assert.equal((await api.send('GET', '/templates/base')).json.builds.length, 1);
  const { json } = await api.send('POST', '/sandboxes', create);
  assert.equal((await api.send('DELETE', '/templates/base')).status, 409);
  await api.send('DELETE', `/sandboxes/${json.sandboxID}`);
  assert.equal((await api.send('DELETE', '/templates/base')).status, 204);
  assert.equal((await api.send('DELETE', '/templates/base')).status, 404);
});
