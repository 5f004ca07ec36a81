export type AptSource = { uri: string; suites: string[]; components: string[]; signedBy?: string };

/**
 * Reads the sources of packages of a Debian host, in both of apt's formats, and keeps what belongs to one
 * release of Debian itself: its archive, updates and security, from the mirrors that the host uses.
 */
export function debianSources(
  files: readonly { name: string; text: string }[],
  codename: string,
): AptSource[] {
  const all = files.flatMap(({ name, text }) =>
    name.endsWith('.sources') ? readDeb822(text) : readOneLine(text),
  );
  const wanted = new Set([codename, `${codename}-updates`, `${codename}-security`]);
  return all
    .map((source) => ({ ...source, suites: source.suites.filter((suite) => wanted.has(suite)) }))
    .filter(({ suites, components, uri }) => {
      return suites.length > 0 && components.includes('main') && /^https?:\/\//.test(uri);
    });
}

/** A source as one line of `sources.list`. */
export function toLines({ uri, suites, components, signedBy }: AptSource): string[] {
  const option = signedBy ? ` [signed-by=${signedBy}]` : '';
  return suites.map((suite) => `deb${option} ${uri} ${suite} ${components.join(' ')}`);
}

function readOneLine(text: string): AptSource[] {
  return text.split('\n').flatMap((line) => {
    const found = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (!found) return [];
    const [, options = '', uri = '', suite = '', components = ''] = found;
    return [
      withKey({ uri, suites: [suite], components: words(components) }, /signed-by=(\S+)/.exec(options)?.[1]),
    ];
  });
}

function readDeb822(text: string): AptSource[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  return lines
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'im').exec(stanza)?.[1] ?? '';
      if (!words(field('Types')).includes('deb') || field('Enabled') === 'no') return [];
      const key = field('Signed-By');
      return words(field('URIs')).map((uri) =>
        withKey({ uri, suites: words(field('Suites')), components: words(field('Components')) }, key),
      );
    });
}

function withKey(source: AptSource, key: string | undefined): AptSource {
  return key?.startsWith('/') ? { ...source, signedBy: key } : source;
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '');
