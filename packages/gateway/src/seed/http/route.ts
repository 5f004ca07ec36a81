import type { IncomingMessage, ServerResponse } from 'node:http';
import { log } from '@sandbox-backend/kit';
import { SandboxError } from '@sandbox-backend/protocol';
import { attend } from '../../forward.ts';
import type { SeedSandbox } from '../sandbox.ts';
import { download } from './download.ts';
import { metrics } from './metrics.ts';
import { createProcess, killProcess, waitForProcess } from './processes.ts';
import { upload } from './upload.ts';

export type Exchange = {
  sandbox: SeedSandbox;
  req: IncomingMessage;
  res: ServerResponse;
  query: URLSearchParams;
  /** Aborted when the client or the sandbox is gone. */
  signal: AbortSignal;
};

/** Answers, or throws: an `HttpError`, or what a call to envd threw. */
type Route = (exchange: Exchange) => Promise<void>;

/** An answer that is an error: plain text, which clients show to their users. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const ROUTES: ReadonlyMap<string, Record<string, Route>> = new Map<string, Record<string, Route>>([
  ['/file', { GET: download, POST: upload }],
  ['/process/create', { POST: createProcess }],
  ['/process/wait', { POST: waitForProcess }],
  ['/process/kill', { POST: killProcess }],
  ['/metrics', { GET: metrics }],
  ['/ping', { any: async ({ res }) => sendText(res, 200, 'pong') }],
  // The host sets the guest's clock itself.
  ['/sync', { any: async ({ res }) => sendText(res, 200, '') }],
]);

/** A client may go on sending what nobody will read; it gets its answer meanwhile, up to this much. */
const LARGEST_UNREAD_BYTES = 16 * 1024 * 1024;

/** Answers an HTTP request to the seed's daemon. */
export function answerHttp(
  sandbox: SeedSandbox,
  target: string,
  req: IncomingMessage,
  res: ServerResponse,
): void {
  const gone = new AbortController();
  attend(sandbox.link, req, res, () => gone.abort());
  const signal = AbortSignal.any([sandbox.signal, gone.signal]);
  const question = target.indexOf('?');
  const path = question < 0 ? target : target.slice(0, question);
  const query = new URLSearchParams(question < 0 ? '' : target.slice(question + 1));
  res.setHeader('Access-Control-Allow-Origin', '*');
  void perform(path, { sandbox, req, res, query, signal }).catch((caught) => {
    if (!res.headersSent) fail(req, res, path, caught);
    else req.socket.destroy(); // the answer was under way
  });
}

async function perform(path: string, exchange: Exchange): Promise<void> {
  const { req, res } = exchange;
  const routes = ROUTES.get(path);
  if (!routes) {
    throw path === '/ws' ? new HttpError(400, 'Bad Request') : new HttpError(404, '404 page not found');
  }
  if (req.method === 'OPTIONS' && !routes.any) {
    res.setHeader('Access-Control-Allow-Methods', 'GET, POST, PUT');
    res.setHeader('Access-Control-Allow-Headers', '*');
    return sendText(res, 200, '');
  }
  if (req.headers.expect) res.writeContinue();
  const method = req.method === 'HEAD' ? 'GET' : (req.method ?? '');
  const route = routes.any ?? (Object.hasOwn(routes, method) ? routes[method] : undefined);
  if (!route) throw new HttpError(405, 'Invalid request method');
  await route(exchange);
  discard(req);
}

export function sendText(
  res: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  res.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
  res.end(text);
}

export const sendJson = (res: ServerResponse, json: string) => sendText(res, 200, json, 'application/json');

function fail(req: IncomingMessage, res: ServerResponse, path: string, caught: unknown): void {
  const error = caught instanceof HttpError ? caught : asHttpError(path, caught);
  if (!res.destroyed) sendText(res, error.status, error.message);
  discard(req);
}

function asHttpError(path: string, caught: unknown): HttpError {
  const error = SandboxError.from(caught);
  if (error.code !== 'internal')
    return new HttpError(error.code === 'invalid_argument' ? 400 : 500, error.message);
  log('error', 'seed.http', { path, error: error.describe() });
  return new HttpError(500, 'Internal Server Error');
}

function discard(req: IncomingMessage): void {
  let unread = 0;
  req.unpipe();
  req.on('data', (chunk: Buffer) => {
    unread += chunk.length;
    if (unread > LARGEST_UNREAD_BYTES) req.socket.destroy();
  });
}
