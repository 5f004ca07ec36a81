import { spawn } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { killAndWait, type ProcessRef, processStartTime } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Room } from '../vmm.ts';

export type PlainRoom = Room &
  AsyncDisposable & {
    /** Every process started here, whether it still lives or not. */
    readonly launched: readonly ProcessRef[];
  };

/** Where a VMM sees its own folder, whichever that is on the host: some VMMs remember paths in a snapshot. */
const SEEN_AS = '/run/sandbox-backend-plain-room';

/** Enters a mount namespace in which the folder is at that path. */
const ENTER = 'mount --bind "$1" "$2"; shift 2; exec "$@"';

/**
 * A room without isolation, for tests: the VMM runs as this user and sees the host's files, its own folder at the
 * same path as in every such room. With
 * `wrapper` the command is run by another program, for example one that enters a network namespace.
 * Disposing of it ends what was started in it; the folder is the caller's.
 */
export function plainRoom(directory: string, options: { wrapper?: readonly string[] } = {}): PlainRoom {
  const launched: ProcessRef[] = [];
  return {
    directory,
    launched,
    inside: (path) => (path.startsWith(`${directory}/`) ? SEEN_AS + path.slice(directory.length) : path),
    give: async () => {},
    async launch(_op, command, { logFile }) {
      await using log = await open(logFile, 'a');
      await mkdir(SEEN_AS, { recursive: true });
      const view = [
        'unshare',
        '--mount',
        '--propagation',
        'private',
        'sh',
        '-euc',
        ENTER,
        'sh',
        directory,
        SEEN_AS,
      ];
      const [program = '', ...args] = [...view, ...(options.wrapper ?? []), ...command];
      const child = spawn(program, args, { detached: true, stdio: ['ignore', log.fd, log.fd] });
      await new Promise<void>((resolve, reject) => {
        child.once('error', (cause) => reject(SandboxError.from(cause)));
        child.once('spawn', resolve);
      });
      child.unref();
      const pid = child.pid ?? 0;
      // One that has ended already is known by a time that no process has.
      const pidStartTime = (await processStartTime(pid)) ?? 'ended';
      launched.push({ pid, startTime: pidStartTime });
      return { pid, pidStartTime };
    },
    async [Symbol.asyncDispose]() {
      for (const process of launched) await killAndWait(process);
    },
  };
}
