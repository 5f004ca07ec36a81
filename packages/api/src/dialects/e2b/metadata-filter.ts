import { SandboxError } from '@sandbox-backend/protocol';

/**
 * Reads `k=v&k2=v2` as the query parameter holds it. Clients encode names and values, then the pairs
 * as a form, then the parameter; some leave one of the first two out, which reads the same unless a
 * value holds a percent sign.
 */
export function parseMetadataFilter(text: string): Record<string, string> {
  const pairs = text.split('&').filter(Boolean);
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) {
        throw new SandboxError('invalid_argument', 'The metadata filter is not a list of name=value', {
          hint: 'Write metadata=user%3Dabc%26app%3Dprod for user=abc and app=prod.',
        });
      }
      return [decode(pair.slice(0, at)), decode(pair.slice(at + 1))];
    }),
  );
}

const decode = (text: string) => percentDecode(percentDecode(text.replaceAll('+', ' ')));

function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign of its own
  }
}
