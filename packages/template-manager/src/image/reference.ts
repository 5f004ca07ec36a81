import { isAbsolute, resolve } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';

/** Where an image comes from, as the user's text says. */
export type Reference =
  | { kind: 'base'; packages: string[]; without: string[] }
  | { kind: 'registry'; name: string; plainHttp: boolean }
  | {
      kind: 'local';
      transport: 'docker-archive' | 'oci-archive' | 'oci' | 'tar';
      path: string;
      image: string;
    };

const LOCAL = ['docker-archive', 'oci-archive', 'oci'] as const;
const PACKAGE = /^[a-z0-9][a-z0-9+.-]*$/;
const PATHS = /^\/[\w.+*/-]+$/;
// As Docker has it: the first component is a host when it has a dot or a port, or is localhost.
const HOST = String.raw`(?:localhost|(?:[a-zA-Z0-9-]+\.)+[a-zA-Z0-9-]+|[a-zA-Z0-9-]+(?=:\d)|\[[0-9a-fA-F:]+\])(?::\d{1,5})?`;
const COMPONENT = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const REGISTRY = new RegExp(
  String.raw`^(?:${HOST}/)?${COMPONENT}(?:/${COMPONENT})*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);

/**
 * Reads an image reference: `debian:` (a base made from Debian packages), `debian:?packages=a,b&without=/c/*`,
 * `docker-archive:`, `oci-archive:` or `oci:` with a path, a path that ends in `.tar`, or a name in a registry.
 *
 * Errors: `invalid_argument` for anything else.
 */
export function parseReference(text: string): Reference {
  const base = /^debian:(?:\?(.*))?$/s.exec(text);
  if (base) return parseBase(text, base[1] ?? '');
  for (const transport of LOCAL) {
    if (text.startsWith(`${transport}:`))
      return parseLocal(text, transport, text.slice(transport.length + 1));
  }
  if (text.endsWith('.tar') && (isAbsolute(text) || /^\.{1,2}\//.test(text))) {
    return parseLocal(text, 'tar', text);
  }
  const name = text.replace(/^docker:\/\//, '');
  if (name.length > 512 || !REGISTRY.test(name)) {
    throw new SandboxError('invalid_argument', `'${text.slice(0, 200)}' is not an image reference`, {
      hint: "Use a name such as 'python:3.12-slim', 'registry.example.com/team/image:tag', 'oci:/folder', '/image.tar' or 'debian:'.",
    });
  }
  return { kind: 'registry', name, plainHttp: isLoopback(name) };
}

function parseBase(text: string, query: string): Reference {
  const lists = new Map([
    ['packages', ''],
    ['without', ''],
  ]);
  for (const part of query === '' ? [] : query.split('&')) {
    const [, name = '', list = ''] = /^([a-z]+)=(.*)$/s.exec(part) ?? [];
    if (!lists.has(name)) throw wrongBase(text, `'${part}' is neither packages=… nor without=…`);
    lists.set(name, list);
  }
  return {
    kind: 'base',
    packages: parseList(lists.get('packages')!, PACKAGE, (name) =>
      wrongBase(text, `'${name}' is not the name of a Debian package`),
    ),
    without: parseList(lists.get('without')!, PATHS, (paths) =>
      wrongBase(text, `'${paths}' is not an absolute path in which * stands for anything`),
    ),
  };
}

function parseList(list: string, item: RegExp, refuse: (wrong: string) => SandboxError): string[] {
  const items = list.split(',').filter((name) => name !== '');
  const wrong = items.find((name) => !item.test(name));
  if (wrong !== undefined) throw refuse(wrong);
  return [...new Set(items)].sort();
}

const wrongBase = (text: string, what: string) =>
  new SandboxError('invalid_argument', `'${text.slice(0, 200)}': ${what.slice(0, 200)}`, {
    hint: 'Separate items with commas, as in debian:?packages=nodejs,npm&without=/usr/include/*.',
  });

function parseLocal(text: string, transport: (typeof LOCAL)[number] | 'tar', rest: string): Reference {
  const colon = transport === 'tar' ? -1 : rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (path === '' || (transport === 'tar' && path.includes(':')) || path.includes('\0')) {
    throw new SandboxError('invalid_argument', `'${text}' does not name a file`, {
      hint: 'Give a path without a colon in it.',
    });
  }
  return { kind: 'local', transport, path: resolve(path), image: colon < 0 ? '' : rest.slice(colon + 1) };
}

/** A registry on this host is spoken to without TLS, every other one with it. */
function isLoopback(name: string): boolean {
  return name.includes('/') && /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?\//.test(name);
}

/** The name without its tag, with a digest instead: what was asked for, pinned. */
export function pinned(name: string, digest: string): string {
  const [withoutDigest = name] = name.split('@');
  return `${withoutDigest.replace(/:[\w.-]+$/, '')}@${digest}`;
}

/** The name with `:latest` where it has neither tag nor digest, as Docker understands it. */
export function withTag(name: string): string {
  const last = name.slice(name.lastIndexOf('/') + 1);
  return last.includes(':') || last.includes('@') ? name : `${name}:latest`;
}
