import { readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import { fileError } from '../files/errno.ts';
import { type EntryInfo, entryOf } from '../filesystem/entry.ts';
import { logLine } from '../log.ts';
import { addInotifyWatch, openInotify, type Reader, readInotify, removeInotifyWatch } from '../runtime.ts';
import type { Users } from '../users/users.ts';
import { type Inotify, parseInotify } from './inotify.ts';

export type FilesystemEvent = { name: string; type: string; entry?: EntryInfo };

export type Watch = { close(): void };

export type WatchOptions = {
  recursive: boolean;
  includeEntry: boolean;
  allowNetworkMounts: boolean;
};

const IN_MODIFY = 0x2;
const IN_ATTRIB = 0x4;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_DELETE_SELF = 0x400;
const IN_MOVE_SELF = 0x800;
const IN_IGNORED = 0x8000;
const IN_ISDIR = 0x40000000;
const WATCHED =
  IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF;

const EVENT_TYPES: readonly [number, string][] = [
  [IN_CREATE | IN_MOVED_TO, 'EVENT_TYPE_CREATE'],
  [IN_MODIFY, 'EVENT_TYPE_WRITE'],
  [IN_DELETE, 'EVENT_TYPE_REMOVE'],
  [IN_MOVED_FROM, 'EVENT_TYPE_RENAME'],
  [IN_ATTRIB, 'EVENT_TYPE_CHMOD'],
];

/** NFS, SMB, CIFS, AFS, Ceph, FUSE, 9p: what others change there is not seen here. */
const NETWORK_FILE_SYSTEMS = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x5346414f, 0x00c36400, 0x65735546, 0x01021997,
]);

/**
 * Reports what happens in a folder, by names relative to it. Returns when the watch stands: nothing that happens
 * afterwards is missed. Errors: `not_found`, `invalid_argument` for what is no folder or on another machine.
 */
export function watchFolder(
  root: string,
  users: Users,
  options: WatchOptions,
  onEvent: (event: FilesystemEvent) => void,
): Watch {
  checkRoot(root, options);
  const fd = openInotify();
  const folders = new Map<number, string>();
  const reader: Reader = readInotify(fd);

  const emit = (name: string, type: string) => {
    const event: FilesystemEvent = { name, type };
    if (options.includeEntry) {
      try {
        event.entry = entryOf(join(root, name), users);
      } catch {
        // it is gone
      }
    }
    onEvent(event);
  };

  /** Watches a folder and those in it. What is found in a new one came before its watch and is reported as made and written. */
  const add = (relative: string, isNew: boolean) => {
    const path = join(root, relative);
    const watch = addInotifyWatch(fd, path, WATCHED);
    if (watch === undefined) return;
    folders.set(watch, relative);
    if (!options.recursive) return;
    for (const entry of entriesOf(path)) {
      const name = join(relative, entry.name);
      if (isNew) emit(name, 'EVENT_TYPE_CREATE');
      if (isNew && entry.isFile() && hasContent(join(root, name))) emit(name, 'EVENT_TYPE_WRITE');
      if (entry.isDirectory()) add(name, isNew);
    }
  };

  /** A folder that was moved away keeps its watches; their names no longer hold. */
  const forget = (relative: string) => {
    for (const [watch, folder] of folders) {
      if (folder !== relative && !folder.startsWith(`${relative}/`)) continue;
      folders.delete(watch);
      removeInotifyWatch(fd, watch);
    }
  };

  const handle = ({ watch, mask, name }: Inotify) => {
    const folder = folders.get(watch);
    if (folder === undefined) return;
    if (mask & IN_IGNORED) {
      folders.delete(watch);
      return;
    }
    if (name === '') {
      // The folder itself: one below the root is reported by the folder it is in.
      if (folder === '' && mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
        emit('', mask & IN_DELETE_SELF ? 'EVENT_TYPE_REMOVE' : 'EVENT_TYPE_RENAME');
      }
      return;
    }
    const relative = join(folder, name);
    const type = EVENT_TYPES.find(([bits]) => mask & bits)?.[1];
    if (type) emit(relative, type);
    if (!options.recursive || !(mask & IN_ISDIR)) return;
    if (mask & IN_MOVED_FROM) forget(relative);
    if (mask & (IN_CREATE | IN_MOVED_TO)) add(relative, true);
  };

  try {
    add('', false);
    if (folders.size === 0)
      throw new SandboxError('resource_exhausted', `no more watches are to be had for ${root}`);
  } catch (caught) {
    reader.cancel();
    throw caught;
  }
  let open = true;
  (async () => {
    while (open) {
      const { done, value } = await reader.read();
      if (done || !open) return;
      if (value) for (const event of parseInotify(value)) handle(event);
    }
  })().catch((error: Error) => logLine(`watch of ${root}: ${error.message}`));
  return {
    close() {
      open = false;
      reader.cancel();
    },
  };
}

function checkRoot(root: string, options: WatchOptions): void {
  try {
    if (!statSync(root).isDirectory()) {
      throw new SandboxError('invalid_argument', `path is not a directory: ${root}`);
    }
    if (!options.allowNetworkMounts && NETWORK_FILE_SYSTEMS.has(Number(statfsSync(root).type) >>> 0)) {
      throw new SandboxError(
        'invalid_argument',
        `path is on a network mount, where not every change is seen: ${root}`,
      );
    }
  } catch (caught) {
    throw fileError(caught, root);
  }
}

function hasContent(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return []; // it was removed meanwhile
  }
}
