import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import test from 'node:test';
import { SandboxError } from '@sandbox-backend/protocol';
import fc from 'fast-check';
import { fingerprintOf, parsePublicKey } from './parse-public-key.ts';

const field = (value: Buffer | string) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.byteLength(value));
  return Buffer.concat([length, Buffer.from(value)]);
};
const line = (algorithm: string, ...fields: (Buffer | string)[]) =>
  `${algorithm} ${Buffer.concat([algorithm, ...fields].map(field)).toString('base64')}`;
const positive = (value: Buffer) => (value[0]! >= 0x80 ? Buffer.concat([Buffer.from([0]), value]) : value);

function rsa(bits: number) {
  const { n, e } = generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ format: 'jwk' });
  return [positive(Buffer.from(e!, 'base64url')), positive(Buffer.from(n!, 'base64url'))] as const;
}
function ecdsa(namedCurve: string, name: string) {
  const { x, y } = generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.from([4]), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')]);
  return { text: line(`ecdsa-sha2-${name}`, name, point), point };
}
const ED25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJE5rLkIjdt4mjyLvjtcIpB1Q0rHL0KV0YGzAZBvMK4M';

test('keys of the algorithms that are safe today are taken as they are', () => {
  const [e, n] = rsa(2048);
  const good = [
    ED25519,
    line('ssh-rsa', e, n),
    ecdsa('P-256', 'nistp256').text,
    ecdsa('P-384', 'nistp384').text,
    ecdsa('P-521', 'nistp521').text,
  ];
  for (const text of good) {
    const key = parsePublicKey(`  ${text} someone@somewhere else \n`);
    assert.equal(`${key.algorithm} ${key.data.toString('base64')}`, text);
    assert.equal(key.comment, 'someone@somewhere else');
    assert.match(fingerprintOf(key.data), /^SHA256:[A-Za-z0-9+/]{43}$/);
  }
});

test('everything else is refused with what is wrong', () => {
  const [e, n] = rsa(2048);
  const [e1, n1] = rsa(1024);
  const { point } = ecdsa('P-256', 'nistp256');
  const off = Buffer.from(point);
  off[40]! ^= 1;
  const bad: [string, RegExp][] = [
    ['', /not one line/],
    ['ssh-ed25519', /not one line/],
    [`${ED25519}\n${ED25519}`, /not one line/],
    [`command="x" ${ED25519}`, /base64|another kind|not one line/],
    ['-----BEGIN OPENSSH PRIVATE KEY-----', /private key/],
    ['x'.repeat(20_000), /too long/],
    [`ssh-rsa ${ED25519.split(' ')[1]}`, /another kind/],
    [ED25519.slice(0, -4), /cut off/],
    [line('ssh-ed25519', Buffer.alloc(31)), /wrong length/],
    [line('ssh-ed25519', Buffer.alloc(32), 'more'), /behind/],
    [line('ssh-rsa', e1, n1), /1024 bits/],
    [line('ssh-rsa', e, Buffer.concat([Buffer.from([0]), n])), /not written/],
    [line('ssh-rsa', e, n.subarray(1)), /not written|bits/],
    [line('ssh-rsa', Buffer.from([1]), n), /no RSA key/],
    [line('ssh-rsa', Buffer.from([4]), n), /no RSA key/],
    [line('ssh-rsa', Buffer.alloc(0), n), /not written/],
    [line('ecdsa-sha2-nistp256', 'nistp384', point), /no key of the curve/],
    [line('ecdsa-sha2-nistp256', 'nistp256', point.subarray(0, 64)), /no key of the curve/],
    [line('ecdsa-sha2-nistp256', 'nistp256', off), /not on the curve/],
    [line('ssh-dss', 'x'), /of the kind/],
    [line('sk-ssh-ed25519@openssh.com', Buffer.alloc(32), 'ssh:'), /of the kind/],
    [line('__proto__', 'x'), /of the kind/],
  ];
  for (const [text, pattern] of bad) {
    assert.throws(
      () => parsePublicKey(text),
      { code: 'invalid_argument', message: pattern },
      text.slice(0, 60),
    );
  }
});

test('whatever comes is a key or refused, and nothing but a whole key is one', () => {
  const data = Buffer.from(ED25519.split(' ')[1]!, 'base64');
  const texts = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.uint8Array({ maxLength: 100 }).map((bytes) => `ssh-ed25519 ${Buffer.from(bytes).toString('base64')}`),
    // A key with some bytes other than they were.
    fc
      .tuple(
        fc.nat(data.length - 1),
        fc.nat(255),
        fc.constantFrom('ssh-ed25519', 'ssh-rsa', 'ecdsa-sha2-nistp256'),
      )
      .map(([place, byte, algorithm]) => {
        const changed = Buffer.from(data);
        changed[place] = byte;
        return `${algorithm} ${changed.toString('base64')}`;
      }),
  );
  fc.assert(
    fc.property(texts, (text) => {
      try {
        const key = parsePublicKey(text);
        assert.equal(key.algorithm, 'ssh-ed25519');
        assert.equal(key.data.length, data.length);
      } catch (caught) {
        if (!(caught instanceof SandboxError)) throw caught;
        assert.equal(caught.code, 'invalid_argument');
      }
    }),
    { numRuns: 500 },
  );
});
