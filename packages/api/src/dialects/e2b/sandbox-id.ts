import { checkSandboxId, isSandboxId } from '@sandbox-backend/protocol';

/** The id in a path; older clients append `-` and a client id. Errors: `invalid_argument`. */
export function readSandboxId(text: string): string {
  const [, id] = /^([a-z0-9]{1,40})-[A-Za-z0-9]{1,40}$/.exec(text) ?? [];
  return id && !isSandboxId(text) ? id : checkSandboxId(text);
}
