import assert from 'node:assert/strict';
import test from 'node:test';
import { debianSources, toLines } from './apt-sources.ts';

const DEB822 = `Types: deb
# http://snapshot.example/archive
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://packages.example/node
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
`;

test('the archive, its updates and security are kept, foreign sources are not', () => {
  const files = [
    { name: 'debian.sources', text: DEB822 },
    {
      name: 'sources.list',
      text: [
        '# deb http://old.example/debian bookworm main',
        'deb-src http://mirror.example/debian bookworm main',
        'deb [arch=amd64 signed-by=/k.gpg] http://sec.example/debian-security bookworm-security main contrib # x',
        'deb cdrom:[Debian] bookworm main',
      ].join('\n'),
    },
  ];
  assert.deepEqual(debianSources(files, 'bookworm').flatMap(toLines), [
    'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main',
    'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm-updates main',
    'deb [signed-by=/k.gpg] http://sec.example/debian-security bookworm-security main contrib',
  ]);
});
