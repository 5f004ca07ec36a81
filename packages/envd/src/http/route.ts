import { SandboxError } from '@sandbox-backend/protocol';
import { download } from '../files/download.ts';
import { upload } from '../files/upload.ts';
import { listDir } from '../filesystem/list-dir.ts';
import { makeDir, move, remove, stat } from '../filesystem/verbs.ts';
import type { Guest } from '../guest.ts';
import { init } from '../host/init.ts';
import { logLine } from '../log.ts';
import {
  closeStdin,
  connect,
  list,
  sendInput,
  sendSignal,
  streamInput,
  update,
} from '../processes/control.ts';
import { start } from '../processes/start.ts';
import type { Peer } from '../runtime.ts';
import { requireHost, requireToken } from './authorize.ts';
import { streamError, unaryError } from './connect.ts';
import { allowBrowser, preflight } from './cross-origin.ts';
import { emptyResponse, httpError, jsonResponse } from './json.ts';

type Verb = (guest: Guest, request: Request) => Promise<Response>;

const UNARY: Record<string, Verb> = {
  '/process.Process/List': list,
  '/process.Process/Update': update,
  '/process.Process/SendInput': sendInput,
  '/process.Process/SendSignal': sendSignal,
  '/process.Process/CloseStdin': closeStdin,
  '/filesystem.Filesystem/Stat': stat,
  '/filesystem.Filesystem/MakeDir': makeDir,
  '/filesystem.Filesystem/Move': move,
  '/filesystem.Filesystem/ListDir': listDir,
  '/filesystem.Filesystem/Remove': remove,
  '/filesystem.Filesystem/CreateWatcher': async (guest, request) =>
    (await import('../watch/verbs.ts')).createWatcher(guest, request),
  '/filesystem.Filesystem/GetWatcherEvents': async (guest, request) =>
    (await import('../watch/verbs.ts')).getWatcherEvents(guest, request),
  '/filesystem.Filesystem/RemoveWatcher': async (guest, request) =>
    (await import('../watch/verbs.ts')).removeWatcher(guest, request),
};

const STREAMING: Record<string, Verb> = {
  '/process.Process/Start': start,
  '/process.Process/Connect': connect,
  '/process.Process/StreamInput': streamInput,
  '/filesystem.Filesystem/WatchDir': async (guest, request) =>
    (await import('../watch/verbs.ts')).watchDir(guest, request),
};

/** Answers every request; it never rejects. */
export async function route(guest: Guest, request: Request, peer: Peer): Promise<Response> {
  const { pathname, search } = splitUrl(request.url);
  let response: Response;
  try {
    response = await answer(guest, request, peer, pathname, search);
  } catch (caught) {
    const error = SandboxError.from(caught);
    report(request, pathname, error, caught);
    response = httpError(error.httpStatus, error.message);
  }
  return request.headers.has('origin') ? allowBrowser(response) : response;
}

function answer(
  guest: Guest,
  request: Request,
  peer: Peer,
  pathname: string,
  search: string,
): Response | Promise<Response> {
  if (request.method === 'OPTIONS') return preflight();
  const streaming = STREAMING[pathname];
  const verb = streaming ?? UNARY[pathname];
  if (verb) {
    if (request.method !== 'POST') return httpError(405, 'only POST is allowed');
    requireToken(guest, request);
    return call(verb, streaming ? streamError : unaryError, guest, request, pathname);
  }
  switch (`${request.method} ${pathname}`) {
    case 'GET /health':
      return emptyResponse();
    case 'POST /init':
      requireHost(guest, request, peer);
      return init(guest, request);
    case 'GET /files':
    case 'HEAD /files':
      return download(guest, request, new URLSearchParams(search));
    case 'POST /files':
      return upload(guest, request, new URLSearchParams(search));
    case 'POST /files/compose':
      requireToken(guest, request);
      return import('../files/compose.ts').then(({ compose }) => compose(guest, request));
    case 'GET /metrics':
      requireToken(guest, request);
      return import('../metrics.ts').then(({ metrics }) => metrics());
    case 'GET /envs':
      requireToken(guest, request);
      return jsonResponse(guest.identity.env);
    case 'POST /start':
      requireHost(guest, request, peer);
      return import('../host/start-command.ts').then(({ startCommand }) => startCommand(guest, request));
    case 'POST /ready':
      requireHost(guest, request, peer);
      return import('../host/wait-ready.ts').then(({ waitReady }) => waitReady(guest, request));
    default:
      return httpError(404, 'there is nothing here');
  }
}

async function call(
  verb: Verb,
  respond: (error: SandboxError) => Response,
  guest: Guest,
  request: Request,
  pathname: string,
): Promise<Response> {
  try {
    return await verb(guest, request);
  } catch (caught) {
    const error = SandboxError.from(caught);
    report(request, pathname, error, caught);
    return respond(error);
  }
}

/** Only what is envd's own fault goes to the console; callers are told about theirs. */
function report(request: Request, pathname: string, error: SandboxError, caught: unknown): void {
  if (error.code !== 'internal') return;
  const where = (caught instanceof Error && caught.stack?.split('\n')[1]?.trim()) || '';
  logLine(`${request.method} ${pathname}: ${error.message} ${where}`);
}

/** `http://host:port/path?query` without a URL object. */
export function splitUrl(url: string): { pathname: string; search: string } {
  const slash = url.indexOf('/', url.indexOf('://') + 3);
  const question = url.indexOf('?', slash);
  return question < 0
    ? { pathname: url.slice(slash), search: '' }
    : { pathname: url.slice(slash, question), search: url.slice(question + 1) };
}
