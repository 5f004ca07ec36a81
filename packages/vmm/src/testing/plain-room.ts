import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { killAndWait, type ProcessRef, processStartTime } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Room } from '../vmm.ts';

export type PlainRoom = Room &
  AsyncDisposable & {
    /** Every process started here, whether it still lives or not. */
    readonly launched: readonly ProcessRef[];
  };

/**
 * A room without isolation, for tests: the VMM runs as this user and sees the host's files. With
 * `wrapper` the command is run by another program, for example one that enters a network namespace.
 * Disposing of it ends what was started in it; the folder is the caller's.
 */
export function plainRoom(directory: string, options: { wrapper?: readonly string[] } = {}): PlainRoom {
  const launched: ProcessRef[] = [];
  return {
    directory,
    launched,
    inside: (path) => path,
    async launch(_op, command, { logFile }) {
      await using log = await open(logFile, 'a');
      const [program = '', ...args] = [...(options.wrapper ?? []), ...command];
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
