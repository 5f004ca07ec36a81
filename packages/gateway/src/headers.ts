/** Names and values in turn, as Node's `rawHeaders`: order, case and duplicates are kept. */
export type RawHeaders = readonly string[];

/** They concern one connection and not the message. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'te',
  'upgrade',
  'http2-settings',
]);
/** What a Connection header must not remove, whoever asks. */
const NEVER_NOMINATED = new Set(['host', 'content-length', 'transfer-encoding', 'x-access-token']);

export type RequestChanges = {
  /** Replaces the host. */
  host?: string | undefined;
  /** The host as the client meant it, when the guest sees another. */
  forwardedHost?: string | undefined;
  /** The protocol to switch to, when the request asks for that. */
  upgrade?: string | undefined;
  /** The message has neither length nor encoding, and its method would have one. */
  emptyBody?: boolean;
};

/** The headers of a request as the guest gets them. */
export function requestHeaders(raw: RawHeaders, changes: RequestChanges = {}): string[] {
  const headers: string[] = [];
  const nominated = nominatedNames(raw);
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    const value = raw[at + 1]!;
    const key = name.toLowerCase();
    if (key === 'te' && /(?:^|,)\s*trailers\s*(?:,|$)/i.test(value)) headers.push('TE', 'trailers');
    if (HOP_BY_HOP.has(key) || nominated.has(key)) continue;
    if (key === 'e2b-traffic-access-token') continue; // it is meant for the gateway
    if (key === 'host') headers.push(name, changes.host ?? value);
    else headers.push(name, value);
  }
  if (changes.forwardedHost !== undefined) headers.push('X-Forwarded-Host', changes.forwardedHost);
  if (changes.emptyBody) headers.push('Content-Length', '0');
  if (changes.upgrade !== undefined) headers.push('Connection', 'Upgrade', 'Upgrade', changes.upgrade);
  return headers;
}

/** The headers of an answer as the client gets them; the encoding of the body is the server's to choose. */
export function responseHeaders(raw: RawHeaders): string[] {
  const headers: string[] = [];
  const nominated = nominatedNames(raw);
  for (let at = 0; at < raw.length; at += 2) {
    const key = raw[at]!.toLowerCase();
    if (HOP_BY_HOP.has(key) || nominated.has(key) || key === 'transfer-encoding') continue;
    headers.push(raw[at]!, raw[at + 1]!);
  }
  return headers;
}

/** Raw trailers as pairs. */
export function pairs(raw: RawHeaders): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, at) => [raw[at * 2]!, raw[at * 2 + 1]!]);
}

function nominatedNames(raw: RawHeaders): ReadonlySet<string> {
  const names = new Set<string>();
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at]!.toLowerCase() !== 'connection') continue;
    for (const name of raw[at + 1]!.toLowerCase().split(',')) {
      if (!NEVER_NOMINATED.has(name.trim())) names.add(name.trim());
    }
  }
  return names;
}
