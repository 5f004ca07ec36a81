import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { readLogin } from './login.ts';
import { readPreface } from './preface.ts';

const read = (text: string) => readPreface(Buffer.from(text, 'latin1'));
const UUID = '0b9c2f6e-5b5e-4c8e-9f0a-1234567890ab';

test('the preface is told from a banner, however little has come', () => {
  assert.deepEqual(read('SANDBOX iabc\nSSH-2.0-x\r\n'), {
    type: 'sandbox',
    sandboxId: 'iabc',
    rest: Buffer.from('SSH-2.0-x\r\n'),
  });
  assert.equal((read(`SANDBOX ${UUID}\n`) as { sandboxId: string }).sandboxId, UUID);
  for (const text of ['', 'S', 'SANDBOX', 'SANDBOX ', 'SANDBOX iabc'])
    assert.equal(read(text).type, 'partial', text);
  for (const text of ['SSH-2.0-x', 'GET / HTTP/1.1', 'sandbox x\n', '\n', 'SANDBOXES']) {
    assert.equal(read(text).type, 'none', text);
  }
  for (const text of [
    'SANDBOX \n',
    'SANDBOX ../x\n',
    'SANDBOX i\r\n',
    'SANDBOX a b\n',
    `SANDBOX ${'i'.repeat(41)}`,
  ]) {
    assert.equal(read(text).type, 'invalid', text);
  }
});

test('whatever comes, in whatever pieces, is read as one of the four, and never waited for beyond a line', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string({ maxLength: 60 }).map((text) => Buffer.from(`SANDBOX ${text}`)),
  );
  fc.assert(
    fc.property(bytes, (data) => {
      const whole = readPreface(Buffer.from(data));
      if (whole.type === 'partial') assert.ok(data.length <= 48);
      // A decision never changes when more comes.
      for (let at = 0; at < data.length; at++) {
        const part = readPreface(Buffer.from(data.subarray(0, at)));
        if (part.type !== 'partial') assert.equal(part.type, whole.type);
      }
      if (whole.type === 'sandbox') assert.match(whole.sandboxId, /^[a-z0-9-]{1,40}$/);
    }),
  );
});

test('the name of who logs in', () => {
  assert.deepEqual(readLogin('iabc', undefined), { sandboxId: 'iabc', user: undefined });
  assert.deepEqual(readLogin('iabc+root', undefined), { sandboxId: 'iabc', user: 'root' });
  assert.deepEqual(readLogin(`${UUID}+www-data`, undefined), { sandboxId: UUID, user: 'www-data' });
  assert.deepEqual(readLogin('root', 'iabc'), { sandboxId: 'iabc', user: 'root' });
  for (const name of [
    '',
    '+root',
    'iabc+',
    'iabc+-x',
    'iabc+a b',
    'iabc+a+b',
    '../x',
    'IABC',
    'i\n',
    `iabc+${'u'.repeat(33)}`,
  ]) {
    assert.equal(readLogin(name, undefined), undefined, name);
  }
  for (const name of ['', '-l', 'a:b', 'a/b', 'a\0']) assert.equal(readLogin(name, 'iabc'), undefined, name);
});

test('whatever the name, what comes out of it is an id and a user', () => {
  fc.assert(
    fc.property(fc.string(), fc.option(fc.constant('iabc'), { nil: undefined }), (name, prefaceId) => {
      const login = readLogin(name, prefaceId);
      if (!login) return;
      assert.match(login.sandboxId, /^[a-z0-9-]{1,40}$/);
      assert.match(login.user ?? 'u', /^\w[\w.-]*$/);
    }),
  );
});
