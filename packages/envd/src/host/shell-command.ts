import type { Guest } from '../guest.ts';
import { parseObject, readText, textRecord } from '../http/json.ts';
import { type Launch, planLaunch } from '../processes/launch.ts';
import type { User } from '../users/users.ts';

/** Reads an order of the host to run a shell line: `cmd`, and where they are given `user`, `env` and `cwd`. */
export async function readShellCommand(
  guest: Guest,
  request: Request,
): Promise<{ message: Record<string, unknown>; user: User; launch: Launch }> {
  const message = parseObject(await request.text());
  const user = guest.users.find(readText(message, 'user') || guest.identity.defaultUser);
  const launch = planLaunch(guest, user, {
    cmd: '/bin/bash',
    args: ['-l', '-c', readText(message, 'cmd')],
    env: textRecord(message.env),
    cwd: readText(message, 'cwd'),
  });
  return { message, user, launch };
}
