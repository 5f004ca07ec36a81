import assert from 'node:assert/strict';
import test from 'node:test';
import { ID, read, send, sendRaw, startGuest, startTestGateway, to } from './testing/guest.ts';

const answerUrl = () => startGuest((req, res) => res.end(`${req.headers.host} ${req.url}`));

test('the host names the port and the sandbox, whatever the domain', async () => {
  await using guest = await answerUrl();
  await using gateway = await startTestGateway();
  for (const domain of ['', '.example.com', '.x.test:3002', '.LOCALHOST']) {
    const host = `${guest.port}-${ID}${domain}`;
    const { status, body } = await read(
      await send(gateway.port, { path: '/a?b=%20c', headers: { Host: host } }),
    );
    assert.equal(status, 200);
    assert.equal(body, `${host} /a?b=%20c`);
  }
});

test('without such a host the headers name them, also with the suffix of older clients', async () => {
  await using guest = await answerUrl();
  await using gateway = await startTestGateway();
  for (const host of ['localhost:3002', '127.0.0.1', '[::1]:3002', 'sandbox.example.com', 'my-server']) {
    for (const id of [ID, `${ID}-6532622b`]) {
      const { status } = await read(
        await send(gateway.port, { headers: { Host: host, ...to(guest.port, id) } }),
      );
      assert.equal(status, 200, host);
    }
  }
});

test('an id that is a UUID is taken whole, in the host and in the header', async () => {
  await using guest = await answerUrl();
  await using gateway = await startTestGateway();
  const uuid = '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9';
  // A part of it names another sandbox, which must not be taken for it.
  const known = gateway.known.get(ID)!;
  gateway.known.delete(ID);
  gateway.known.set(uuid, { ...known, sandboxId: uuid });
  const statusOf = async (headers: Record<string, string>) =>
    (await read(await send(gateway.port, { headers }))).status;
  for (const host of [`${guest.port}-${uuid}.example.com`, `${guest.port}-${uuid.toUpperCase()}`]) {
    assert.equal(await statusOf({ Host: host }), 200, host);
  }
  assert.equal(await statusOf(to(guest.port, uuid)), 200);
  assert.equal(await statusOf(to(guest.port, `${uuid}-6532622b`)), 200);
  gateway.known.set('0a1b2c3d', { ...known, sandboxId: '0a1b2c3d' });
  gateway.known.delete(uuid);
  assert.equal(await statusOf(to(guest.port, uuid)), 502);
  assert.equal(await statusOf({ Host: `${guest.port}-${uuid}.example.com` }), 502);
  assert.equal(await statusOf(to(guest.port, `0a1b2c3d-6532622b`)), 200);
  assert.equal(await statusOf(to(guest.port, `${uuid}-a-b`)), 400);
});

test('a host with a label wins over headers', async () => {
  await using guest = await answerUrl();
  await using gateway = await startTestGateway();
  const headers = { Host: `${guest.port}-${ID}.x`, ...to(1, 'iother') };
  assert.equal((await read(await send(gateway.port, { headers }))).status, 200);
});

for (const [what, headers] of Object.entries({
  'no sandbox': {},
  'no port': { 'E2b-Sandbox-Id': ID },
  'no id': { 'E2b-Sandbox-Port': '80' },
  'an id that climbs': { 'E2b-Sandbox-Id': '../../x', 'E2b-Sandbox-Port': '80' },
  'port 0': to(0),
  'port 65536': to(65536),
  'a port that is none': { 'E2b-Sandbox-Id': ID, 'E2b-Sandbox-Port': '80, 81' },
})) {
  test(`${what} is a bad request`, async () => {
    await using gateway = await startTestGateway();
    const { status, body } = await read(await send(gateway.port, { headers }));
    assert.equal(status, 400);
    assert.equal(JSON.parse(body).code, 400);
  });
}

test('a sandbox that is unknown or paused answers as the SDKs expect', async () => {
  await using gateway = await startTestGateway();
  const expected = `{"sandboxId":"inone","message":"The sandbox was not found","code":502}`;
  for (const state of [undefined, 'paused'] as const) {
    if (state) gateway.known.set('inone', { sandboxId: 'inone', state });
    const { status, headers, body } = await read(await send(gateway.port, { headers: to(49983, 'inone') }));
    assert.equal(status, 502);
    assert.equal(headers['content-type'], 'application/json');
    assert.equal(body, expected);
  }
  gateway.known.set('inone', { sandboxId: 'inone', state: 'changing' });
  assert.equal((await read(await send(gateway.port, { headers: to(49983, 'inone') }))).status, 409);
});

test('a closed port answers as the SDKs expect', async () => {
  await using gateway = await startTestGateway();
  const { status, body } = await read(await send(gateway.port, { headers: to(9) }));
  assert.equal(status, 502);
  assert.equal(
    body,
    `{"sandboxId":"${ID}","message":"The sandbox is running but port is not open","port":9,"code":502}`,
  );
});

test('a port that opens while it is waited for answers', async () => {
  const probe = await answerUrl();
  const { port } = probe;
  await probe[Symbol.asyncDispose]();
  await using gateway = await startTestGateway();
  const asking = send(gateway.port, { headers: to(port) });
  await using late = await startGuest((_req, res) => res.end('late'));
  late.server.close();
  late.server.listen(port, '127.0.0.2');
  assert.equal((await read(await asking)).body, 'late');
});

test('a service on the loopback of the guest is reached by the other way in', async () => {
  await using guest = await answerUrl();
  const { connect } = await import('node:net');
  const asked: number[] = [];
  await using gateway = await startTestGateway(
    { address: '127.0.0.3' },
    {
      dialLoopback: async (_route, port) => {
        asked.push(port);
        return connect(port, '127.0.0.2');
      },
    },
  );
  assert.equal((await read(await send(gateway.port, { headers: to(guest.port) }))).status, 200);
  assert.deepEqual(asked, [guest.port]);
});

test('private traffic needs its token, which the guest never sees; envd has one of its own', async () => {
  await using guest = await startGuest((req, res) => res.end(JSON.stringify(req.headers)));
  await using gateway = await startTestGateway({ trafficToken: 'right', envdPort: guest.port });
  const port = guest.port;
  await using other = await startGuest((req, res) => res.end(JSON.stringify(req.headers)));
  for (const token of [{}, { 'e2b-traffic-access-token': 'wrong' }, { 'e2b-traffic-access-token': '' }]) {
    const { status, body } = await read(
      await send(gateway.port, { headers: { ...to(other.port), ...token } }),
    );
    assert.equal(status, 403);
    assert.deepEqual(Object.keys(JSON.parse(body)), ['sandboxId', 'message', 'code']);
  }
  const headers = { ...to(other.port), 'e2b-traffic-access-token': 'right', 'X-Access-Token': 'kept' };
  const { status, body } = await read(await send(gateway.port, { headers }));
  assert.equal(status, 200);
  assert.equal(JSON.parse(body)['e2b-traffic-access-token'], undefined);
  assert.equal(JSON.parse(body)['x-access-token'], 'kept');
  for (const envd of [49983, port]) {
    assert.equal((await read(await send(gateway.port, { headers: to(envd) }))).status, 200);
  }
});

test('orders for envd do not pass, in any form and by neither of its ports', async () => {
  let reached = 0;
  await using guest = await startGuest((_req, res) => {
    reached++;
    res.end();
  });
  await using gateway = await startTestGateway({ envdPort: guest.port });
  for (const port of [49983, guest.port]) {
    for (const target of [
      '/init',
      '//init',
      '/%69nit',
      '/x/../init',
      '/tunnel?port=22',
      `http://${port}-${ID}.x/init`,
    ]) {
      const answer = await sendRaw(
        gateway.port,
        `POST ${target} HTTP/1.1\r\nHost: ${port}-${ID}.x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`,
      );
      assert.match(answer, /^HTTP\/1\.1 404 /, target);
    }
    const upgrade = `GET /tunnel?port=22 HTTP/1.1\r\nHost: ${port}-${ID}.x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`;
    assert.match(await sendRaw(gateway.port, upgrade), /^HTTP\/1\.1 404 /);
  }
  assert.equal(reached, 0);
  await using other = await answerUrl();
  const { body } = await read(
    await send(gateway.port, { path: '/init', headers: { Host: `${other.port}-${ID}` } }),
  );
  assert.match(body, /\/init$/, "a user's own /init is the user's");
});

test('a target in absolute form goes to the host in it, in origin form', async () => {
  await using guest = await answerUrl();
  await using gateway = await startTestGateway();
  const answer = await sendRaw(
    gateway.port,
    `GET http://${guest.port}-${ID}.x/a?b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
  );
  assert.ok(answer.endsWith(`\r\n\r\n${guest.port}-${ID}.x /a?b`), answer);
});

test('the mask of the host is what the guest sees', async () => {
  await using guest = await startGuest((req, res) =>
    res.end(`${req.headers.host} ${req.headers['x-forwarded-host']}`),
  );
  const placeholder = `$${'{PORT}'}`;
  await using gateway = await startTestGateway({ maskRequestHost: `app.test:${placeholder}` });
  const host = `${guest.port}-${ID}.example.com`;
  const { body } = await read(await send(gateway.port, { headers: { Host: host } }));
  assert.equal(body, `app.test:${guest.port} ${host}`);
});

for (const [what, head] of Object.entries({
  'a length and an encoding': 'Content-Length: 4\r\nTransfer-Encoding: chunked',
  'two lengths': 'Content-Length: 4\r\nContent-Length: 5',
  'another encoding': 'Transfer-Encoding: gzip, chunked',
  'an encoding that hides': 'Transfer-Encoding: xchunked',
  'two hosts': 'Host: other',
  'a bare line feed in a header': 'A: b\nContent-Length: 4',
  'a space before the colon': 'Content-Length : 4',
})) {
  test(`${what} is refused, and nothing after it is read`, async () => {
    let reached = 0;
    await using guest = await startGuest((_req, res) => {
      reached++;
      res.end();
    });
    await using gateway = await startTestGateway();
    const answer = await sendRaw(
      gateway.port,
      `POST / HTTP/1.1\r\nHost: ${guest.port}-${ID}\r\n${head}\r\n\r\n0\r\n\r\n`,
      (text) => text.includes('"code"'),
    );
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.equal(reached, 0);
  });
}

test('CONNECT is refused', async () => {
  await using gateway = await startTestGateway();
  assert.match(
    await sendRaw(gateway.port, 'CONNECT 10.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n'),
    /^HTTP\/1\.1 405 /,
  );
});

test('an address in use is named', async () => {
  await using gateway = await startTestGateway();
  await assert.rejects(startTestGateway({}, { listen: { host: '127.0.0.1', port: gateway.port } }), {
    code: 'failed_precondition',
    message: new RegExp(`127\\.0\\.0\\.1:${gateway.port} .* in use`),
  });
});
