import type { Guest } from '../guest.ts';
import type { User } from '../users/users.ts';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a process of the user sees: the request before the sandbox before the defaults, and nothing of envd's own. */
export function environmentOf(
  guest: Guest,
  user: User,
  requested: Record<string, string>,
): Record<string, string> {
  const { env, sandboxId, templateId, eventsAddress } = guest.identity;
  const result: Record<string, string> = {
    PATH: DEFAULT_PATH,
    HOME: user.home,
    USER: user.name,
    LOGNAME: user.name,
    E2B_SANDBOX: 'true',
  };
  if (sandboxId) result.E2B_SANDBOX_ID = sandboxId;
  if (templateId) result.E2B_TEMPLATE_ID = templateId;
  if (eventsAddress) result.E2B_EVENTS_ADDRESS = eventsAddress;
  return Object.assign(result, env, requested);
}
