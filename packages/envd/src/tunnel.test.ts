import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startEnvd, type TestEnvd, whyNot } from './testing/start-envd.ts';

describe('the tunnel to services bound to loopback', { skip: whyNot() }, () => {
  let envd: TestEnvd;
  const servers: Server[] = [];
  before(async () => {
    envd = await startEnvd();
    await fetch(`${envd.url}/init`, { method: 'POST', body: JSON.stringify({ accessToken: 'secret' }) });
  });
  after(async () => {
    for (const server of servers) server.close();
    await envd?.[Symbol.asyncDispose]();
  });

  const listen = async (onConnection: (socket: Socket) => void, host = '127.0.0.1') => {
    const server = createServer({ allowHalfOpen: true }, onConnection).listen(0, host);
    servers.push(server);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const dial = (text: string) => {
    const socket = connect({ port: envd.tunnelPort, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(text);
    return socket;
  };
  const read = async (socket: Socket) => {
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  test('passes bytes both ways, and the end of each way by itself', async () => {
    const port = await listen((socket) => {
      void read(socket).then((all) => socket.end(Buffer.concat([Buffer.from('got '), all])));
    });
    const bytes = randomBytes(5_000_000);
    const socket = dial(`CONNECT ${port} secret\nearly `);
    socket.end(bytes);
    const answer = await read(socket);
    assert.ok(answer.equals(Buffer.concat([Buffer.from('OK\ngot early '), bytes])));
  });

  test('reaches ::1 as well', async (t) => {
    const port = await listen((socket) => socket.end('six'), '::1').catch(() => undefined);
    if (port === undefined) return t.skip('DID NOT RUN: this machine has no IPv6 loopback');
    const socket = dial(`CONNECT ${port} secret\n`);
    assert.equal((await read(socket)).toString(), 'OK\nsix');
    socket.end();
  });

  test('says why not', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    for (const [line, answer] of [
      [`CONNECT ${port} secret\n`, 'ERR closed\n'],
      [`CONNECT ${port} wrong\n`, 'ERR forbidden\n'],
      [`CONNECT ${port}\n`, 'ERR forbidden\n'],
      [`CONNECT ${envd.port} secret\n`, 'ERR forbidden\n'],
      [`CONNECT ${envd.tunnelPort} secret\n`, 'ERR forbidden\n'],
      [`LISTEN 0 wrong\n`, 'ERR forbidden\n'],
      [`LISTEN ${envd.port} secret\n`, 'ERR forbidden\n'],
      [`LISTEN 70000 secret\n`, 'ERR invalid\n'],
      [`ACCEPT ${randomUUID()} secret\n`, 'ERR closed\n'],
      [`ACCEPT ${randomUUID()} wrong\n`, 'ERR forbidden\n'],
      ['CONNECT 0 secret\n', 'ERR invalid\n'],
      ['CONNECT 99999 secret\n', 'ERR invalid\n'],
      ['GET / HTTP/1.1\r\n\r\n', 'ERR invalid\n'],
      ['x'.repeat(600), 'ERR invalid\n'],
    ] as const) {
      const socket = dial(line);
      assert.equal((await read(socket)).toString(), answer, line.slice(0, 40));
      socket.destroy();
    }
  });

  test('reads no faster than the other side takes', async () => {
    const rssMib = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${envd.pid}/status`, 'utf8'))![1]) / 1024;
    const size = 200_000_000;
    const port = await listen((socket) => {
      let left = size;
      const more = () => {
        while (left > 0) {
          const length = Math.min(left, 1_000_000);
          left -= length;
          if (!socket.write(Buffer.alloc(length))) return void socket.once('drain', more);
        }
        socket.end();
      };
      more();
    });
    const before = rssMib();
    const socket = dial(`CONNECT ${port} secret\n`);
    socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.ok(rssMib() - before < 50, `envd grew by ${rssMib() - before} MiB`);
    assert.equal((await read(socket)).length, size + 'OK\n'.length);
    socket.destroy();
  });

  /** What the control connection of a listener says, line by line. */
  const listener = async (port: number) => {
    const control = dial(`LISTEN ${port} secret\n`);
    const lines = control
      .setEncoding('latin1')
      .iterator({ destroyOnReturn: false }) as AsyncIterableIterator<string>;
    let text = '';
    const nextLine = async () => {
      while (!text.includes('\n')) {
        const { done, value } = await lines.next();
        if (done) return undefined;
        text += value;
      }
      const line = text.slice(0, text.indexOf('\n'));
      text = text.slice(line.length + 1);
      return line;
    };
    return { control, nextLine, answer: await nextLine() };
  };
  const portOf = (answer: string | undefined) => Number(/^OK (\d+)$/.exec(answer ?? '')?.[1]);

  test('listens for who asks, hands over each connection, and stops when it goes', async () => {
    const { control, nextLine, answer } = await listener(0);
    const port = portOf(answer);
    assert.ok(port > 0, answer);
    assert.equal((await listener(port)).answer, 'ERR in use');

    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    client.write('early ');
    const [, id] = /^CONNECTION (\S+)$/.exec((await nextLine()) ?? '') ?? [];
    const fetched = dial(`ACCEPT ${id} secret\n`);
    const bytes = randomBytes(3_000_000);
    client.end(bytes);
    const got = await read(fetched);
    assert.ok(got.equals(Buffer.concat([Buffer.from('OK\nearly '), bytes])));
    fetched.end('answer');
    assert.equal((await read(client)).toString(), 'answer');
    const again = dial(`ACCEPT ${id} secret\n`);
    assert.equal((await read(again)).toString(), 'ERR closed\n');
    again.destroy();

    const waits = connect({ port, host: '127.0.0.1' });
    assert.match((await nextLine()) ?? '', /^CONNECTION /);
    control.destroy();
    assert.equal((await read(waits)).length, 0); // it is closed with the listener
    // The port is free again, once envd has seen the end.
    for (;;) {
      const next = await listener(port);
      next.control.destroy();
      if (next.answer === `OK ${port}`) break;
      assert.equal(next.answer, 'ERR in use');
    }
  });

  test('a service that breaks off ends the connection', async () => {
    const port = await listen((socket) => {
      socket.on('error', () => {});
      socket.resetAndDestroy();
    });
    const socket = dial(`CONNECT ${port} secret\n`);
    const all = await read(socket).catch((error: NodeJS.ErrnoException) => Buffer.from(error.code ?? ''));
    assert.match(all.toString(), /^(OK\n|ECONNRESET)$/); // and it ended at all
    socket.destroy();
  });
});
