import { SandboxError } from '@sandbox-backend/protocol';

export function parseWholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new SandboxError('invalid_argument', `${JSON.stringify(text)} is not a whole number`);
}

export function parseCount(text: string): number {
  const count = parseWholeNumber(text);
  if (count > 0) return count;
  throw new SandboxError('invalid_argument', 'The number must be at least 1');
}
