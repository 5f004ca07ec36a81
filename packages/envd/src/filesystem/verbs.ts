import { lstatSync, promises, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import { fileError } from '../files/errno.ts';
import { makeFolders } from '../files/make-folders.ts';
import { resolvePath } from '../files/resolve-path.ts';
import type { Guest } from '../guest.ts';
import { readUnary } from '../http/connect.ts';
import { jsonResponse, readText } from '../http/json.ts';
import { callerOf } from '../users/caller.ts';
import { entryOf } from './entry.ts';

export async function stat(guest: Guest, request: Request): Promise<Response> {
  const { path } = await readPath(guest, request, 'path');
  try {
    return jsonResponse({ entry: entryOf(path, guest.users) });
  } catch (caught) {
    throw fileError(caught, path);
  }
}

/** Makes a folder and those above it. Errors: `already_exists` for a folder, `invalid_argument` for anything else. */
export async function makeDir(guest: Guest, request: Request): Promise<Response> {
  const { path, user } = await readPath(guest, request, 'path');
  try {
    const existing = statSync(path, { throwIfNoEntry: false });
    if (existing?.isDirectory()) {
      throw new SandboxError('already_exists', `directory already exists: ${path}`);
    }
    if (existing) {
      throw new SandboxError('invalid_argument', `path already exists but it is not a directory: ${path}`);
    }
    makeFolders(path, user);
    return jsonResponse({ entry: entryOf(path, guest.users) });
  } catch (caught) {
    throw fileError(caught, path);
  }
}

export async function move(guest: Guest, request: Request): Promise<Response> {
  const { path: source, user, message } = await readPath(guest, request, 'source');
  const destination = resolvePath(guest, user, needPath(message, 'destination'));
  try {
    lstatSync(source);
  } catch (caught) {
    throw fileError(caught, source);
  }
  try {
    makeFolders(dirname(destination), user);
    renameSync(source, destination);
    return jsonResponse({ entry: entryOf(destination, guest.users) });
  } catch (caught) {
    throw fileError(caught, destination);
  }
}

/** Removes a file, or a folder with all that is in it; that nothing is there is no error. */
export async function remove(guest: Guest, request: Request): Promise<Response> {
  const { path } = await readPath(guest, request, 'path');
  if (path === '/') throw new SandboxError('invalid_argument', 'the root folder cannot be removed');
  try {
    await promises.rm(path, { recursive: true, force: true });
    return jsonResponse({});
  } catch (caught) {
    throw fileError(caught, path);
  }
}

async function readPath(guest: Guest, request: Request, field: string) {
  const message = await readUnary(request);
  const user = callerOf(guest, request);
  return { message, user, path: resolvePath(guest, user, needPath(message, field)) };
}

/** Empty is the default folder, as for every relative path; of a move it would be a mistake. */
function needPath(message: Record<string, unknown>, field: string): string {
  const path = readText(message, field);
  if (path === '' && field !== 'path') throw new SandboxError('invalid_argument', `${field} is empty`);
  return path;
}
