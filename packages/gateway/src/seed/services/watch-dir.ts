import { basename, join } from 'node:path/posix';
import { SandboxError } from '@sandbox-backend/protocol';
import { callStream } from '@sandbox-backend/sdk';
import { failed } from '../rpc/errors.ts';
import type { Subscription } from '../rpc/subscription.ts';
import type { SeedSandbox } from '../sandbox.ts';
import { absolute, ROOT } from './guest.ts';
import { reasonOf } from './reason.ts';
import { timestamp } from './timestamp.ts';

/** Clients know what to do with an event only a moment after they have read the answer. */
const FIRST_EVENT_DELAY_MS = 50;

type WatchMessage = {
  start?: object;
  filesystem?: { name?: string; type?: string; entry?: { type?: string; symlinkTarget?: string } };
};

const OPERATIONS: Record<string, string> = {
  EVENT_TYPE_CREATE: 'Create',
  EVENT_TYPE_WRITE: 'Write',
  EVENT_TYPE_REMOVE: 'Remove',
  EVENT_TYPE_RENAME: 'Rename',
  EVENT_TYPE_CHMOD: 'Chmod',
};

/** Tells what happens in a folder, and not in those below it, until the client has enough. */
export async function watchDir(
  { endpoint, signal }: SeedSandbox,
  subscription: Subscription,
  path: string,
): Promise<number> {
  const folder = absolute(path);
  const messages = callStream<WatchMessage>(
    endpoint,
    'filesystem.Filesystem/WatchDir',
    { path: folder, includeEntry: true, allowNetworkMounts: true },
    { user: ROOT, signal: AbortSignal.any([signal, subscription.signal]) },
  );
  try {
    await messages.next(); // the watch stands
  } catch (caught) {
    throw failed(`error adding path to dwatcher: ${whyNot(path, caught)}`);
  }
  void pass(messages, folder, subscription);
  return FIRST_EVENT_DELAY_MS;
}

function whyNot(path: string, caught: unknown): string {
  if (SandboxError.from(caught).code === 'not_found') {
    return `'${path}': doesn't exist. Only existing paths are supported`;
  }
  const reason = reasonOf(caught);
  if (reason !== 'not a directory') return `'${path}': ${reason}`;
  return `'${path}': is not a directory. Only directories are supported`;
}

async function pass(messages: AsyncIterable<WatchMessage>, folder: string, subscription: Subscription) {
  try {
    for await (const { filesystem: event } of messages) {
      const operation = OPERATIONS[event?.type ?? ''];
      if (!event || !operation) continue;
      const path = join(folder, event.name ?? '');
      const isDir = event.entry?.type === 'FILE_TYPE_DIRECTORY' && event.entry.symlinkTarget === undefined;
      const [pathText, nameText] = [JSON.stringify(path), JSON.stringify(basename(path))];
      subscription.notify(
        `{"path":${pathText},"name":${nameText},"operation":"${operation}","timestamp":${timestamp()},"isDir":${isDir}}`,
      );
      await subscription.outlet.drained();
    }
  } catch {
    // The client, or the sandbox, is gone; a folder that changes faster than its client reads is told of no further.
  }
}
