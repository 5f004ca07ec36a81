import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { startEnvd, type TestEnvd, whyNot } from '../testing/start-envd.ts';

const TOKEN = '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0';

/** As the SDKs make it. */
function sign(path: string, operation: string, user: string, token: string, expiration?: number): string {
  const raw = [path, operation, user, token, ...(expiration === undefined ? [] : [expiration])].join(':');
  return `v1_${createHash('sha256').update(raw).digest('base64').replace(/=+$/, '')}`;
}

describe('signed URLs', { skip: whyNot() }, () => {
  let envd: TestEnvd;
  before(async () => {
    envd = await startEnvd();
    const init = await fetch(`${envd.url}/init`, {
      method: 'POST',
      body: JSON.stringify({ accessToken: TOKEN, defaultUser: 'user' }),
    });
    assert.equal(init.status, 204);
    const response = await fetch(`${envd.url}/files?path=hello.txt`, {
      method: 'POST',
      body: 'hello',
      headers: { 'content-type': 'application/octet-stream', 'x-access-token': TOKEN },
    });
    assert.equal(response.status, 200);
  });
  after(async () => {
    await envd?.[Symbol.asyncDispose]();
  });

  const get = async (query: Record<string, string>, headers = {}) => {
    const response = await fetch(`${envd.url}/files?${new URLSearchParams(query)}`, { headers });
    return [response.status, await response.text()] as const;
  };
  const refused = (message: string) => [401, JSON.stringify({ code: 401, message })] as const;

  test('the known signature of the protocol opens the file', async () => {
    const signature = 'v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E';
    assert.equal(sign('hello.txt', 'read', 'user', TOKEN), signature);
    assert.deepEqual(await get({ path: 'hello.txt', username: 'user', signature }), [200, 'hello']);
  });

  test('it is good for its path, operation, user and time, with the texts that the SDKs know', async () => {
    const now = Math.floor(Date.now() / 1000);
    const path = 'hello.txt';
    assert.deepEqual(await get({ path }), refused('missing signature query parameter'));
    assert.deepEqual(await get({ path, signature: sign(path, 'read', '', TOKEN) }), [200, 'hello']);
    for (const signature of [
      sign(path, 'write', '', TOKEN),
      sign('other', 'read', '', TOKEN),
      sign(path, 'read', 'root', TOKEN),
      sign(path, 'read', '', 'another token'),
      sign(path, 'read', '', TOKEN, now + 100),
      '',
    ]) {
      assert.deepEqual(await get({ path, signature }), refused('invalid signature'));
    }
    const signed = (expiration: number) => ({
      path,
      signature: sign(path, 'read', '', TOKEN, expiration),
      signature_expiration: String(expiration),
    });
    assert.deepEqual(await get(signed(now + 100)), [200, 'hello']);
    assert.deepEqual(await get(signed(now - 100)), refused('signature is already expired'));
    assert.deepEqual(
      await get({ ...signed(now - 100), signature_expiration: String(now + 100) }),
      refused('invalid signature'),
    );
    assert.deepEqual(await get({ path }, { 'x-access-token': TOKEN }), [200, 'hello']);
    assert.equal((await get({ path }, { 'x-access-token': 'wrong' }))[0], 401);
  });

  test('a signature to write lets one write, and nothing else is open without the token', async () => {
    const query = new URLSearchParams({ path: 'up.txt', signature: sign('up.txt', 'write', '', TOKEN) });
    const form = new FormData();
    form.append('file', new Blob(['up']), 'up.txt');
    assert.equal((await fetch(`${envd.url}/files?${query}`, { method: 'POST', body: form })).status, 200);
    assert.equal((await fetch(`${envd.url}/health`)).status, 204);
    for (const path of ['/metrics', '/envs']) {
      assert.equal((await fetch(`${envd.url}${path}`)).status, 401, path);
      assert.equal((await fetch(`${envd.url}${path}`, { headers: { 'x-access-token': TOKEN } })).status, 200);
    }
    for (const path of [
      '/process.Process/List',
      '/process.Process/Start',
      '/files/compose',
      '/init',
      '/start',
      '/ready',
    ]) {
      const response = await fetch(`${envd.url}${path}`, { method: 'POST', body: '{}' });
      assert.equal(response.status, 401, path);
      assert.equal(((await response.json()) as { code: number }).code, 401);
    }
  });
});
