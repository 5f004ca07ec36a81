import { checkSandboxId, SandboxError } from '@sandbox-backend/protocol';
import type { Control } from '@sandbox-backend/sdk';

const SHORTEST_PREFIX = 4;
export const ANY_STATE = ['running', 'paused'] as const;

/**
 * The full id for an id or the first four or more characters of one. An id in full is taken at its
 * word, without a request.
 * Errors: `not_found`, `invalid_argument` when several sandboxes begin like that.
 */
export async function resolveSandboxId(control: Pick<Control, 'listSandboxes'>, text: string) {
  if (isFullId(text)) return text;
  if (!/^[a-z0-9-]+$/.test(text)) return checkSandboxId(text);
  const ids = (await control.listSandboxes({ states: ANY_STATE })).map(({ sandboxID }) => sandboxID);
  if (ids.includes(text)) return text;
  const matching = text.length < SHORTEST_PREFIX ? [] : ids.filter((id) => id.startsWith(text));
  if (matching.length === 1) return matching[0]!;
  if (matching.length > 1) {
    throw new SandboxError('invalid_argument', `${matching.length} sandboxes begin with ${text}`, {
      hint: `Give more of the id: ${matching.slice(0, 5).join(', ')}`,
    });
  }
  const short = text.length < SHORTEST_PREFIX;
  throw new SandboxError('not_found', `There is no sandbox ${text}`, {
    hint: short
      ? `Give the id, or at least its first ${SHORTEST_PREFIX} characters.`
      : 'sandbox-cli sandbox ls -a lists them.',
  });
}

const isFullId = (text: string) =>
  /^i[a-z0-9]{20}$/.test(text) || /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
