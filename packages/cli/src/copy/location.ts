/** One side of a copy: a path on this machine, a path in a sandbox, or a standard stream. */
export type LocalLocation = { type: 'local'; path: string } | { type: 'stream' };
export type Location = LocalLocation | { type: 'sandbox'; id: string; path: string };

/**
 * `ID:PATH` is in a sandbox, `-` is standard input or output, all else is here. A path that begins
 * with a slash or a dot is never taken for an id.
 */
export function parseLocation(text: string): Location {
  if (text === '-') return { type: 'stream' };
  const remote = /^([a-z0-9-]+):(.*)$/s.exec(text);
  return remote
    ? { type: 'sandbox', id: remote[1]!, path: remote[2]! || '.' }
    : { type: 'local', path: text };
}
