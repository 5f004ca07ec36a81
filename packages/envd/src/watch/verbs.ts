import { SandboxError } from '@sandbox-backend/protocol';
import { resolvePath } from '../files/resolve-path.ts';
import type { Guest } from '../guest.ts';
import { encodeEnvelope, readSingle, readUnary } from '../http/connect.ts';
import { EventStream } from '../http/event-stream.ts';
import { jsonResponse, readFlag, readText } from '../http/json.ts';
import { callerOf } from '../users/caller.ts';
import { type FilesystemEvent, type WatchOptions, watchFolder } from './watch.ts';

const MAX_WATCHERS = 256;
const MAX_EVENTS = 65_536;
const CUT_OFF_BYTES = 8 * 1024 * 1024;
const UNUSED_MS = 60 * 60_000;

/** Streams the events of a folder until the caller goes away. */
export async function watchDir(guest: Guest, request: Request): Promise<Response> {
  const message = await readSingle(request);
  const path = resolvePath(guest, callerOf(guest, request), readText(message, 'path'));
  let stream: EventStream | undefined;
  // The watch first: a folder that cannot be watched is an error of the call.
  const watch = watchFolder(path, guest.users, readOptions(message), (event) => {
    if (!stream) return;
    if (stream.pendingBytes > CUT_OFF_BYTES) {
      stream.end(
        new SandboxError('resource_exhausted', 'the reader was too slow for the events of the folder'),
      );
    } else {
      stream.push(encodeEnvelope(JSON.stringify({ filesystem: event })));
    }
  });
  stream = new EventStream(request, '{"keepalive":{}}', () => watch.close());
  stream.push(encodeEnvelope('{"start":{}}'));
  return stream.response();
}

let lastWatcher = 0;

/** Opens a watch whose events are asked for with `GetWatcherEvents`. */
export async function createWatcher(guest: Guest, request: Request): Promise<Response> {
  const message = await readUnary(request);
  const path = resolvePath(guest, callerOf(guest, request), readText(message, 'path'));
  closeUnused(guest);
  if (guest.watchers.size >= MAX_WATCHERS) {
    throw new SandboxError('resource_exhausted', `there are ${MAX_WATCHERS} watchers already`);
  }
  const events: FilesystemEvent[] = [];
  const watch = watchFolder(path, guest.users, readOptions(message), (event) => {
    const last = events.at(-1);
    if (last?.name === event.name && last.type === event.type)
      events.pop(); // what happened twice in a row is told once
    else if (events.length >= MAX_EVENTS) events.shift();
    events.push(event);
  });
  const watcherId = `w${++lastWatcher}`;
  guest.watchers.set(watcherId, { watch, events, usedAt: Date.now() });
  return jsonResponse({ watcherId });
}

export async function getWatcherEvents(guest: Guest, request: Request): Promise<Response> {
  const { watcher } = findWatcher(guest, await readUnary(request));
  watcher.usedAt = Date.now();
  return jsonResponse({ events: watcher.events.splice(0) });
}

export async function removeWatcher(guest: Guest, request: Request): Promise<Response> {
  const { watcher, id } = findWatcher(guest, await readUnary(request));
  guest.watchers.delete(id);
  watcher.watch.close();
  return jsonResponse({});
}

function findWatcher(guest: Guest, message: Record<string, unknown>) {
  const id = readText(message, 'watcherId', 'watcher_id');
  const watcher = guest.watchers.get(id);
  if (!watcher) throw new SandboxError('not_found', `watcher with id ${JSON.stringify(id)} not found`);
  return { id, watcher };
}

/** A client that died leaves its watcher behind. */
function closeUnused(guest: Guest): void {
  for (const [id, { watch, usedAt }] of guest.watchers) {
    if (Date.now() - usedAt < UNUSED_MS) continue;
    guest.watchers.delete(id);
    watch.close();
  }
}

const readOptions = (message: Record<string, unknown>): WatchOptions => ({
  recursive: readFlag(message, 'recursive'),
  includeEntry: readFlag(message, 'includeEntry', 'include_entry'),
  allowNetworkMounts: readFlag(message, 'allowNetworkMounts', 'allow_network_mounts'),
});
