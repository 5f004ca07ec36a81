/** Orders to envd that only the host gives: they set tokens, freeze the guest, open raw connections. */
const INTERNAL = new Set([
  'init',
  'freeze',
  'unfreeze',
  'collapse',
  'fsfreeze',
  'fsthaw',
  'upgrade',
  'start',
  'ready',
  'tunnel',
]);

/**
 * Whether any server could take this path for one of envd's internal routes: decoded as often as it
 * takes, with either slash, without empty and dot segments, whatever the case.
 */
export function isInternalRoute(path: string): boolean {
  let text = path.split(/[?#]/, 1)[0]!;
  for (let round = 0; round < 5 && text.includes('%'); round++) text = percentDecode(text);
  const segments: string[] = [];
  for (const part of text.toLowerCase().split(/[/\\]/)) {
    const segment = part.split(/[;?#]/, 1)[0]!.trim();
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  return segments[0] !== undefined && INTERNAL.has(segments[0]);
}

/** Byte by byte: a malformed part is left alone and does not save the rest from being decoded. */
const percentDecode = (text: string) =>
  text.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
