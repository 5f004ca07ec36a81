import { SandboxError } from '@sandbox-backend/protocol';

/** Collects `KEY=VALUE` options; the value may hold more `=`, and may be empty. */
export function collectPair(text: string, pairs: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at > 0) return { ...pairs, [text.slice(0, at)]: text.slice(at + 1) };
  throw new SandboxError('invalid_argument', `${JSON.stringify(text)} is not of the form KEY=VALUE`);
}
