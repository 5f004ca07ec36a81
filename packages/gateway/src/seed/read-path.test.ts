import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { parseSeedPath } from './read-path.ts';
import { ID, PRIVATE_IP, TOKEN } from './testing/seed.ts';

test('an address is an id, a token and a port; what follows is as the client wrote it', () => {
  const at = (port: number, path: string) => ({ sandboxId: ID, token: TOKEN, port, path });
  assert.deepEqual(parseSeedPath(`/${PRIVATE_IP}/49982/file?path=/a%2fb`), at(49982, '/file?path=/a%2fb'));
  assert.deepEqual(parseSeedPath(`/${PRIVATE_IP}/8888`), at(8888, '/'));
  assert.deepEqual(parseSeedPath(`/${PRIVATE_IP}/8888?x=1`), at(8888, '/?x=1'));
  assert.deepEqual(parseSeedPath(`/${PRIVATE_IP}/1//a/../b`), at(1, '//a/../b'));
  assert.deepEqual(parseSeedPath(`/iabc.${TOKEN}/1/`), { ...at(1, '/'), sandboxId: 'iabc' });
  assert.equal(parseSeedPath('/iabc/1/')?.token, '');
});

for (const path of [
  '',
  '/',
  `//${PRIVATE_IP}/80/`,
  `/./${PRIVATE_IP}/80/`,
  `/x/../${PRIVATE_IP}/80/`,
  `/${PRIVATE_IP}//80/`,
  `/${PRIVATE_IP}%2f80/`,
  `/${PRIVATE_IP}/80%2f`,
  `/${PRIVATE_IP}/080/`,
  `/${PRIVATE_IP}/0/`,
  `/${PRIVATE_IP}/65536/`,
  `/${PRIVATE_IP}/80;/`,
  `/${PRIVATE_IP}/80.0/`,
  `/${PRIVATE_IP}/+80/`,
  `/${PRIVATE_IP}/80\n/`,
  `/${PRIVATE_IP}`,
  `/${PRIVATE_IP.toUpperCase()}/80/`,
  `/${ID}.${TOKEN}0/80/`,
  `/${ID}.${TOKEN.slice(1)}/80/`,
  `/${ID}.${TOKEN}.x/80/`,
  `/${ID}./80/`,
  `/.${TOKEN}/80/`,
  `/127.0.0.1/80/`,
  `/"${PRIVATE_IP}"/80/`,
  `/${PRIVATE_IP}\n/80/`,
  `/${PRIVATE_IP}/80/#x`,
]) {
  test(`${JSON.stringify(path)} is no address`, () => assert.equal(parseSeedPath(path), undefined));
}

test('whatever is read is written in the path, piece by piece', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '/',
      '//',
      '..',
      '.',
      '%2f',
      '%2e',
      '"',
      '\n',
      '?',
      '#',
      '0',
      '80',
      '65535',
      ID,
      TOKEN,
      PRIVATE_IP,
    ),
    fc.string({ unit: 'binary', maxLength: 6 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
      const url = pieces.join('');
      const read = parseSeedPath(url);
      if (!read) return;
      const { sandboxId, token, port, path } = read;
      const address = `/${sandboxId}${token && `.${token}`}/${port}`;
      assert.ok(url === address + path || url === address + path.slice(1), url);
      assert.match(sandboxId, /^[a-z0-9-]+$/);
      assert.ok(port >= 1 && port <= 65_535);
    }),
    { numRuns: 5_000 },
  );
});
