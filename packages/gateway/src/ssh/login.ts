import { isSandboxId } from '@sandbox-backend/protocol';

export type Login = {
  sandboxId: string;
  /** Who acts in the guest; undefined is the template's default user. */
  user: string | undefined;
};

/** What useradd takes, and a little more; no name that could be read as an option. */
const GUEST_USER = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/;

/**
 * Who wants to go where: the name of the sandbox, `<id>` or `<id>+<user>`; where the preface has named it
 * already, the user's name alone. Undefined for anything else.
 */
export function readLogin(userName: string, prefaceId: string | undefined): Login | undefined {
  if (prefaceId !== undefined) {
    return GUEST_USER.test(userName) ? { sandboxId: prefaceId, user: userName } : undefined;
  }
  const plus = userName.indexOf('+');
  const sandboxId = plus < 0 ? userName : userName.slice(0, plus);
  const user = plus < 0 ? undefined : userName.slice(plus + 1);
  if (!isSandboxId(sandboxId) || (user !== undefined && !GUEST_USER.test(user))) return undefined;
  return { sandboxId, user };
}
