import assert from 'node:assert/strict';
import test from 'node:test';
import { pickNameserver } from './nameserver.ts';

test('the first usable IPv4 name server is taken', () => {
  const table: [string[], string][] = [
    [['nameserver 192.168.1.1\nnameserver 8.8.8.8\n'], '192.168.1.1'],
    [['# comment\nsearch lan\nnameserver 127.0.0.53\noptions edns0\n', 'nameserver 10.0.0.2\n'], '10.0.0.2'],
    [['nameserver ::1\nnameserver fe80::1%eth0\nnameserver 9.9.9.9'], '9.9.9.9'],
    [['nameserver 127.0.0.1\n', ''], '1.1.1.1'],
    [[], '1.1.1.1'],
    [['#nameserver 8.8.8.8\nnameserver evil;drop\n'], '1.1.1.1'],
  ];
  for (const [files, expected] of table) assert.equal(pickNameserver(files), expected);
});
