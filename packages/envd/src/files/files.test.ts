import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { run, unary, until } from '../testing/rpc.ts';
import { startEnvd, type TestEnvd, whyNot } from '../testing/start-envd.ts';

const octets = { 'content-type': 'application/octet-stream' };

describe('files', { skip: whyNot() }, () => {
  let envd: TestEnvd;
  before(async () => {
    envd = await startEnvd();
  });
  after(async () => {
    await envd?.[Symbol.asyncDispose]();
  });

  const url = (path: string, more = '') => `${envd.url}/files?path=${encodeURIComponent(path)}${more}`;
  const post = (path: string, body: Uint8Array | string, headers: Record<string, string> = {}) =>
    fetch(url(path), {
      method: 'POST',
      body: new Uint8Array(Buffer.from(body)),
      headers: { ...octets, ...headers },
    });
  const rssMib = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${envd.pid}/status`, 'utf8'))![1]) / 1024;

  test('what is uploaded is read back; folders are made and all belongs to the user', async () => {
    const bytes = randomBytes(1_500_000);
    const response = await post('a/b/c.bin', bytes);
    assert.equal(response.status, 200);
    const path = `${envd.home}/a/b/c.bin`;
    assert.deepEqual(await response.json(), [{ name: 'c.bin', path, type: 'file' }]);
    for (const made of [path, `${envd.home}/a/b`, `${envd.home}/a`]) {
      assert.deepEqual([statSync(made).uid, statSync(made).gid], [60001, 60001], made);
    }
    const read = await fetch(url(path));
    assert.deepEqual(Buffer.from(await read.arrayBuffer()), bytes);
    assert.equal(read.headers.get('content-length'), '1500000');
    assert.equal(read.headers.get('content-disposition'), 'inline; filename=c.bin');
    assert.equal((await fetch(url('~/a/b/c.bin'))).status, 200);
  });

  test('an empty file is a file', async () => {
    assert.equal((await post('empty', '')).status, 200);
    const read = await fetch(url('empty'));
    assert.equal(read.headers.get('content-length'), '0');
    assert.equal(await read.text(), '');
  });

  test('a shorter file replaces a longer one and keeps its mode', async () => {
    await post('script', '#!/bin/sh\necho a long first version\n');
    await run(envd.url, 'chmod 755 ~/script');
    await post('script', '#!/bin/sh\n');
    assert.equal(readFileSync(`${envd.home}/script`, 'utf8'), '#!/bin/sh\n');
    assert.equal(statSync(`${envd.home}/script`).mode & 0o777, 0o755);
  });

  test('multipart: one part goes to `path`, many go to their names', async () => {
    const one = new FormData();
    one.append('file', new Blob(['one']), 'ignored');
    const first = await fetch(url('m/one.txt'), { method: 'POST', body: one });
    assert.deepEqual(await first.json(), [{ name: 'one.txt', path: `${envd.home}/m/one.txt`, type: 'file' }]);

    const many = new FormData();
    const names = ['m/x.txt', `${envd.home}/m/with "quotes" and ü.txt`, 'm/empty', 'm/big'];
    const contents = ['x\r\n--not-the-boundary\r\n', 'quoted', '', randomBytes(3_000_000).toString('latin1')];
    names.forEach((name, index) => {
      many.append('file', new Blob([Buffer.from(contents[index]!, 'latin1')]), name);
    });
    const second = await fetch(`${envd.url}/files`, { method: 'POST', body: many });
    assert.equal(((await second.json()) as unknown[]).length, 4);
    names.forEach((name, index) => {
      const path = name.startsWith('/') ? name : `${envd.home}/${name}`;
      assert.equal(readFileSync(path, 'latin1'), contents[index], name);
    });

    const both = await fetch(url('m/one.txt'), { method: 'POST', body: many });
    assert.equal(both.status, 400);
    assert.equal((await fetch(`${envd.url}/files`, { method: 'POST', body: new FormData() })).status, 400);
  });

  test('multipart that is cut at any byte is put together the same', async () => {
    const { splitParts } = await import('./multipart.ts');
    const body = Buffer.from(
      '--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nab\r\n--\r\n-\r\n--Bx\r\r\n\r\n--B\r\n\r\n\r\n--B--\r\n',
    );
    for (let size = 1; size <= body.length; size++) {
      const chunks = async function* () {
        for (let at = 0; at < body.length; at += size) yield body.subarray(at, at + size);
      };
      const parts: string[] = [];
      // The third delimiter has something behind it: the parser says so.
      await assert.rejects(async () => {
        for await (const event of splitParts(chunks(), 'B')) {
          if (event.type === 'head') parts.push('');
          if (event.type === 'data') parts.push(parts.pop() + Buffer.from(event.bytes).toString('latin1'));
        }
      }, /something behind it/);
      assert.deepEqual(parts, ['ab\r\n--\r\n-']);
    }
  });

  test('gzip in and out, a range of bytes, and both left alone when not asked for', async () => {
    const text = Buffer.from('squeeze me '.repeat(50_000));
    assert.equal((await post('z.txt', gzipSync(text), { 'content-encoding': 'gzip' })).status, 200);
    assert.deepEqual(readFileSync(`${envd.home}/z.txt`), text);
    assert.equal((await post('bad', 'not gzip', { 'content-encoding': 'gzip' })).status, 400);
    assert.ok(!existsSync(`${envd.home}/bad`));
    assert.equal((await post('bad', 'x', { 'content-encoding': 'br' })).status, 400);

    const get = (headers: Record<string, string>) =>
      new Promise<{ status: number; headers: Record<string, unknown>; body: Buffer }>((resolve, reject) => {
        httpRequest(url('z.txt'), { headers, agent: false }, async (response) => {
          const chunks: Buffer[] = [];
          for await (const chunk of response) chunks.push(chunk);
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) });
        })
          .on('error', reject)
          .end();
      });
    const packed = await get({ 'accept-encoding': 'gzip' });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.ok(packed.body.length < text.length / 10);
    assert.deepEqual(gunzipSync(packed.body), text);
    assert.deepEqual((await get({ 'accept-encoding': 'gzip, deflate, br' })).body, text);
    assert.deepEqual((await get({})).body, text);
    assert.equal((await get({ 'accept-encoding': 'identity;q=0, br' })).status, 406);

    const range = await get({ range: 'bytes=8-18', 'accept-encoding': 'gzip' });
    assert.equal(range.status, 206);
    assert.equal(range.headers['content-range'], `bytes 8-18/${text.length}`);
    assert.equal(range.headers['content-length'], '11');
    assert.equal(range.body.toString(), text.toString('utf8', 8, 19));
    assert.equal((await get({ range: 'bytes=-11' })).body.toString(), 'squeeze me ');
    assert.equal((await get({ range: `bytes=${text.length}-` })).status, 416);
    assert.equal((await get({ range: 'bytes=0-1,4-5' })).status, 200);
    assert.equal((await get({ range: 'bytes=0-1', 'if-range': 'something else' })).status, 200);
  });

  test('metadata is kept with the file', async (t) => {
    const response = await post('meta.txt', 'x', { 'X-Metadata-Kind': 'report', 'x-metadata-a.b': '' });
    if (response.status === 409)
      return t.skip('DID NOT RUN: the file system of the temporary folder has no attributes');
    const [file] = (await response.json()) as { metadata: unknown }[];
    assert.deepEqual(file!.metadata, { kind: 'report', 'a.b': '' });
    const { body } = await unary(envd.url, 'filesystem.Filesystem/Stat', { path: 'meta.txt' });
    assert.deepEqual(body.entry.metadata, { kind: 'report', 'a.b': '' });
    await post('meta.txt', 'y', { 'X-Metadata-Other': 'z' });
    const again = await unary(envd.url, 'filesystem.Filesystem/Stat', { path: 'meta.txt' });
    assert.deepEqual(again.body.entry.metadata, { other: 'z' });
    assert.equal((await post('meta.txt', 'x', { 'x-metadata-bad': 'tab\there' })).status, 400);
  });

  test('errors have the status and the form that the SDKs read', async () => {
    const expect = async (response: Response, status: number) => {
      const body = (await response.json()) as { code: number; message: string };
      assert.deepEqual([response.status, body.code], [status, status], body.message);
    };
    await expect(await fetch(url('missing')), 404);
    await expect(await fetch(url('/')), 400);
    await expect(await fetch(url('/dev/zero')), 400);
    await expect(await post('/', 'x'), 400);
    await expect(await post('/etc/passwd/x', 'x'), 400);
    await expect(await fetch(`${envd.url}/files`, { method: 'POST', body: 'x', headers: octets }), 400);
    await expect(await fetch(`${envd.url}/files?path=x`, { method: 'POST', body: 'x' }), 400);
    await expect(await fetch(url('x', '&username=nobody-here')), 401);
    await expect(await fetch(url('a%00b'.replace('%00', '\0'))), 400);
    await expect(await fetch(url('~root/x')), 400);
    await expect(await fetch(`${envd.url}/nothing`), 404);
  });

  test('a pipe that nobody reads does not stop envd', async () => {
    await run(envd.url, 'mkfifo ~/pipe');
    assert.equal((await post('pipe', 'x')).status, 400);
    assert.equal((await fetch(url('pipe'))).status, 400);
  });

  test('files of the kernel are read though they say that they are empty', async () => {
    assert.match(await (await fetch(url('/proc/cpuinfo'))).text(), /processor/);
  });

  test('an upload that breaks off leaves no new file', async () => {
    const request = httpRequest(url('partial'), {
      method: 'POST',
      headers: { ...octets, 'content-length': '1000000' },
    });
    request.on('error', () => {});
    request.write(Buffer.alloc(100_000));
    await until('the upload has begun', () => existsSync(`${envd.home}/partial`));
    request.destroy();
    await until('it is taken away', () => !existsSync(`${envd.home}/partial`));
  });

  test('an upload larger than the disk is refused at once', async () => {
    const status = await new Promise<number>((resolve, reject) => {
      const request = httpRequest(
        url('huge'),
        { method: 'POST', headers: { ...octets, 'content-length': String(2 ** 52) } },
        (response) => {
          resolve(response.statusCode!);
          request.destroy();
        },
      );
      request.on('error', reject);
      request.write('x');
    });
    assert.equal(status, 507);
    assert.ok(!existsSync(`${envd.home}/huge`));
  });

  test('a full disk is 507 and leaves no new file', async (t) => {
    const { execFileSync } = await import('node:child_process');
    const mount = `${envd.folder}/small`;
    mkdirSync(mount);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', mount], { stdio: 'pipe' });
    } catch {
      return t.skip('DID NOT RUN: this machine does not let the test mount a file system');
    }
    try {
      const chunks = new ReadableStream({
        pull(controller) {
          controller.enqueue(Buffer.alloc(512 * 1024));
        },
      });
      const response = await fetch(url(`${mount}/file`), {
        method: 'POST',
        headers: octets,
        body: chunks,
        duplex: 'half',
      } as RequestInit).catch(() => undefined); // the answer may come while the body is still on its way
      if (response) assert.equal(response.status, 507);
      await until('the file is taken away', () => !existsSync(`${mount}/file`));
      assert.equal((await post(`${mount}/sized`, Buffer.alloc(3 * 1024 * 1024))).status, 507);
      for (const round of ['new', 'replaced by another of its size']) {
        assert.equal((await post(`${mount}/most`, Buffer.alloc(1_500_000))).status, 200, round);
      }
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  test('compose joins files and leaves the sources', async () => {
    await post('part1', 'one ');
    await post('part2', 'two');
    const response = await fetch(`${envd.url}/files/compose`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source_paths: ['part1', 'part2'], destination: 'joined/whole' }),
    });
    assert.equal(response.status, 200);
    const entry = (await response.json()) as { path: string; size: string; owner: string };
    assert.deepEqual([entry.path, entry.size, entry.owner], [`${envd.home}/joined/whole`, '7', 'user']);
    assert.equal(readFileSync(`${envd.home}/joined/whole`, 'utf8'), 'one two');
  });

  test('large files pass through in bounded memory', async () => {
    const size = 300 * 1024 * 1024;
    const before = rssMib();
    let most = 0;
    const chunk = randomBytes(1024 * 1024);
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (sent >= size) return controller.close();
        sent += chunk.length;
        most = Math.max(most, rssMib());
        controller.enqueue(chunk);
      },
    });
    const up = await fetch(url('large'), {
      method: 'POST',
      headers: octets,
      body,
      duplex: 'half',
    } as RequestInit);
    assert.equal(up.status, 200);
    assert.equal(statSync(`${envd.home}/large`).size, size);
    const down = await fetch(url('large'));
    let received = 0;
    for await (const part of down.body!) {
      received += part.length;
      most = Math.max(most, rssMib());
    }
    assert.equal(received, size);
    // Half of what passed: how far the heap runs ahead of its collector differs from machine to machine.
    assert.ok(most - before < 150, `envd grew by ${Math.round(most - before)} MiB`);
  });

  test('links are followed, names are sent so that they cannot break out of their header', async () => {
    writeFileSync(`${envd.home}/target`, 'through the link');
    symlinkSync('target', `${envd.home}/lïnk "x"\n`);
    const response = await fetch(url('lïnk "x"\n'));
    assert.equal(await response.text(), 'through the link');
    assert.equal(
      response.headers.get('content-disposition'),
      'inline; filename="l_nk _x__"; filename*=UTF-8\'\'l%C3%AFnk%20%22x%22%0A',
    );
  });
});
