import assert from 'node:assert/strict';
import test from 'node:test';
import { parseReference, pinned, withTag } from './reference.ts';

const registry = (name: string, plainHttp = false) => ({ kind: 'registry', name, plainHttp });
const digest = `sha256:${'a'.repeat(64)}`;

test('references are read as Docker reads them, and ours beside', () => {
  const expected: Record<string, unknown> = {
    'debian:': { kind: 'base', packages: [], without: [] },
    'debian:?packages=npm,nodejs,npm': { kind: 'base', packages: ['nodejs', 'npm'], without: [] },
    'debian:?without=/usr/include/c++/*,/usr/lib/*.a&packages=npm': {
      kind: 'base',
      packages: ['npm'],
      without: ['/usr/include/c++/*', '/usr/lib/*.a'],
    },
    'debian:bookworm': registry('debian:bookworm'),
    debian: registry('debian'),
    'docker://python:3.12-slim': registry('python:3.12-slim'),
    'ghcr.io/a/b-c/d_e:V1.0': registry('ghcr.io/a/b-c/d_e:V1.0'),
    'host:5000/a': registry('host:5000/a'),
    [`a/b@${digest}`]: registry(`a/b@${digest}`),
    'localhost/a': registry('localhost/a', true),
    'localhost:5000/a': registry('localhost:5000/a', true),
    '127.0.0.1:80/a': registry('127.0.0.1:80/a', true),
    'localhost.evil.example/a': registry('localhost.evil.example/a'),
    '127.0.0.1.evil.example:80/a': registry('127.0.0.1.evil.example:80/a'),
    localhost: registry('localhost'),
    '/srv/i.tar': { kind: 'local', transport: 'tar', path: '/srv/i.tar', image: '' },
    'oci:/srv/i': { kind: 'local', transport: 'oci', path: '/srv/i', image: '' },
    'docker-archive:/i.tar:a/b:v1': {
      kind: 'local',
      transport: 'docker-archive',
      path: '/i.tar',
      image: 'a/b:v1',
    },
  };
  for (const [text, reference] of Object.entries(expected))
    assert.deepEqual(parseReference(text), reference, text);
});

test('a name is pinned to a digest in place of its tag', () => {
  assert.equal(pinned('localhost:5000/a:v1', digest), `localhost:5000/a@${digest}`);
  assert.equal(pinned('localhost:5000/a', digest), `localhost:5000/a@${digest}`);
  assert.equal(pinned(`a:v1@sha256:${'b'.repeat(64)}`, digest), `a@${digest}`);
  assert.equal(withTag('localhost:5000/a'), 'localhost:5000/a:latest');
  assert.equal(withTag('a:v1'), 'a:v1');
});
