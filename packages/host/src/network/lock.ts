import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Operation } from '@sandbox-backend/kit';

/**
 * Waits for a lock between the processes of this host. It is an abstract socket, so the kernel frees
 * it with its holder, however that ends: unlike a file it can never be stale.
 */
export async function holdLock(op: Operation, path: string): Promise<AsyncDisposable> {
  const name = `\0sandbox-backend/${createHash('sha256').update(path).digest('hex').slice(0, 32)}`;
  for (;;) {
    const server = createServer((socket) => socket.destroy());
    const taken = await new Promise<boolean>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) =>
        error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
      );
      server.listen({ path: name }, () => resolve(true));
    });
    if (taken) return server;
    await sleep(20, undefined, { signal: op.signal });
  }
}
