import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { pairs, type RequestChanges, requestHeaders, responseHeaders } from './headers.ts';
import { type Link, reset } from './link.ts';
import { badRequest, connectionLost, Refusal, refuse, sandboxNotFound } from './refusal.ts';
import type { Target } from './target.ts';

export const LARGEST_HEAD_BYTES = 64 * 1024;
/** Without a body they are sent without a length. */
const BODILESS = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE']);
/** A second sending does no harm. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE', 'PUT']);

/**
 * Sends a request on to the guest and its answer back, both as they come: nothing is held back, and
 * neither side is read faster than the other takes it. When one side goes away, so does the other.
 */
export function forward(link: Link, target: Target, req: IncomingMessage, res: ServerResponse): void {
  let upstream: ClientRequest | undefined;
  attend(link, req, res, () => upstream?.destroy());

  const hasBody =
    Number(req.headers['content-length'] ?? 0) > 0 || req.headers['transfer-encoding'] !== undefined;
  const send = () => {
    upstream = requestGuest(link, target, req, {
      emptyBody: !hasBody && req.headers['content-length'] === undefined && !BODILESS.has(req.method ?? ''),
    });
    upstream.once('response', (answer) => relay(link, answer, req, res));
    upstream.on('continue', () => res.writeContinue());
    upstream.on('error', (error) => {
      if (res.headersSent || res.destroyed) return; // the answer, or the client, has its own end
      // A kept connection that the server closed just now has not seen the request.
      if (upstream?.reusedSocket && !hasBody && IDEMPOTENT.has(req.method ?? '')) return send();
      refuse(req, res, error instanceof Refusal ? error : connectionLost(target.sandboxId, target.port));
    });
    if (hasBody) pump(req, upstream);
    else upstream.end();
  };
  try {
    send();
  } catch (caught) {
    refuse(req, res, caught);
  }
}

/**
 * Counts a request among those to the sandbox until it is answered, and ends it with the sandbox: who has
 * no answer yet is told; an answer under way breaks off. `onGone` is for a client that does not wait for its answer.
 */
export function attend(link: Link, req: IncomingMessage, res: ServerResponse, onGone: () => void): void {
  const client = req.socket;
  link.clients.set(client, () => {
    if (res.headersSent || res.destroyed) reset(client);
    else refuse(req, res, sandboxNotFound(link.route.sandboxId));
  });
  res.once('close', () => {
    link.clients.delete(client);
    if (!res.writableFinished) onGone();
  });
}

/** Begins a request to the guest. Throws a refusal for what cannot be sent on. */
export function requestGuest(
  link: Link,
  target: Target,
  req: IncomingMessage,
  changes: RequestChanges,
): ClientRequest {
  const { address, maskRequestHost } = link.route;
  const mask = maskRequestHost?.replace(/\$\{PORT\}/g, String(target.port));
  const hosts = mask === undefined ? { host: target.host } : { host: mask, forwardedHost: target.host };
  try {
    return request({
      agent: link.upstream,
      host: address,
      port: target.port,
      method: req.method ?? 'GET',
      path: target.path,
      headers: requestHeaders(req.rawHeaders, { ...changes, ...hosts }),
      maxHeaderSize: LARGEST_HEAD_BYTES,
    });
  } catch {
    throw badRequest('The request has a path or header that cannot be sent on');
  }
}

function pump(req: IncomingMessage, upstream: ClientRequest): void {
  req.on('end', () => {
    if (req.rawTrailers.length > 0) upstream.addTrailers(pairs(req.rawTrailers));
  });
  req.pipe(upstream);
  // A body that has not begun must not hold back the head.
  setImmediate(() => {
    if (!upstream.writableEnded && !upstream.destroyed) upstream.flushHeaders();
  });
}

/** Sends the guest's answer to the client. An answer that breaks off breaks off for the client too. */
export function relay(link: Link, answer: IncomingMessage, req: IncomingMessage, res: ServerResponse): void {
  if (answer.headers['keep-alive'] !== undefined) link.upstream.noteKeepAlive(answer.socket);
  answer.on('error', () => req.socket.destroy());
  answer.on('close', () => {
    if (!answer.complete) req.socket.destroy();
  });
  res.sendDate = false;
  try {
    res.writeHead(answer.statusCode ?? 502, answer.statusMessage, responseHeaders(answer.rawHeaders));
  } catch {
    answer.destroy(); // a head that Node will not write
    return;
  }
  answer.on('end', () => {
    if (answer.rawTrailers.length > 0) res.addTrailers(pairs(answer.rawTrailers));
  });
  answer.pipe(res);
  setImmediate(() => {
    if (!res.writableEnded && !res.destroyed) res.flushHeaders();
  });
}
