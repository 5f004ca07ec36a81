export type Coding = 'identity' | 'gzip' | 'none';

/**
 * How to send a file. Compressing costs far more processor time in a guest than it saves on a host's own wire, so
 * it is done for a client that asks for gzip alone or forbids plain bytes, not for one whose library lists all it knows.
 */
export function chooseCoding(header: string | null): Coding {
  if (!header?.trim()) return 'identity';
  const weights = new Map<string, number>();
  for (const part of header.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim());
    const q = parameters.find((parameter) => parameter.startsWith('q='));
    weights.set(name, q === undefined ? 1 : Number(q.slice(2)));
  }
  const gzip = weights.get('gzip') ?? weights.get('x-gzip') ?? weights.get('*') ?? 0;
  const identity = weights.get('identity') ?? (weights.get('*') === 0 ? 0 : undefined);
  if (identity === 0) return gzip > 0 ? 'gzip' : 'none';
  const accepted = [...weights].filter(([name, weight]) => weight > 0 && name !== 'identity');
  const gzipAlone = accepted.length === 1 && (accepted[0]![0] === 'gzip' || accepted[0]![0] === 'x-gzip');
  return gzipAlone && gzip > (weights.get('identity') ?? 0) ? 'gzip' : 'identity';
}
