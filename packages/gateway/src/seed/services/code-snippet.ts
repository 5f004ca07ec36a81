import { setTimeout as sleep } from 'node:timers/promises';
import { readFileStream } from '@sandbox-backend/sdk';
import { service, stream } from '../rpc/service.ts';
import type { Subscription } from '../rpc/subscription.ts';
import type { SeedSandbox } from '../sandbox.ts';
import { ROOT } from './guest.ts';
import { readWhole } from './read-whole.ts';
import { parseSockets } from './sockets.ts';

const SCAN_MS = 1_000;
const FIRST_SCAN_DELAY_MS = 50;

export const codeSnippet = service(
  {},
  {
    scanOpenedPorts: stream([], async (sandbox, subscription) => {
      void scan(sandbox, subscription);
      return FIRST_SCAN_DELAY_MS;
    }),
  },
);

/** Tells of the guest's TCP sockets, every second, until the client or the sandbox is gone. */
async function scan(sandbox: SeedSandbox, subscription: Subscription): Promise<void> {
  const { endpoint, held } = sandbox;
  const signal = AbortSignal.any([sandbox.signal, subscription.signal]);
  const read = async (path: string) =>
    readWhole(await readFileStream(endpoint, path, { user: ROOT, signal }), held);
  while (!signal.aborted) {
    try {
      const [sockets, users] = await Promise.all([read('/proc/net/tcp'), read('/etc/passwd')]);
      subscription.notify(JSON.stringify(parseSockets(sockets, users)));
      await subscription.outlet.drained();
    } catch {
      // The next round may do better; an end is seen by its signal.
    }
    await sleep(SCAN_MS, undefined, { signal }).catch(() => undefined);
  }
}
