import * as http from 'node:http';
import * as https from 'node:https';
import type { Readable } from 'node:stream';
import { SandboxError } from '@sandbox-backend/protocol';

const httpAgent = new http.Agent({ keepAlive: true });
const httpsAgent = new https.Agent({ keepAlive: true });

export type RequestOptions = {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  headers?: Record<string, string>;
  body?: string | Uint8Array | Readable;
  signal?: AbortSignal | undefined;
  agent?: http.Agent | undefined;
};

/**
 * Sends one request on a kept-alive connection and resolves when the head of the answer has come,
 * whatever its status; the caller reads or destroys the body.
 *
 * Errors: `unavailable` when nobody answers, `deadline_exceeded` and `canceled` by the signal.
 */
export function request(url: string, options: RequestOptions = {}): Promise<http.IncomingMessage> {
  const { body, signal } = options;
  const secure = url.startsWith('https:');
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted(url, signal));
    const fail = (cause: unknown) => reject(signal?.aborted ? aborted(url, signal) : unreachable(url, cause));
    const sent = (secure ? https : http).request(url, {
      agent: options.agent ?? (secure ? httpsAgent : httpAgent),
      method: options.method ?? 'GET',
      headers: options.headers ?? {},
      ...(signal ? { signal } : {}),
    });
    sent.on('error', fail);
    sent.on('response', (response) => {
      // A server may answer before it has read the whole body, for example with 507.
      if (typeof body === 'object' && 'unpipe' in body) {
        body.unpipe(sent);
        if (!sent.writableEnded) response.once('close', () => sent.destroy());
      }
      resolve(response);
    });
    if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) {
      sent.end(body);
    } else {
      body.on('error', (cause) => sent.destroy(SandboxError.from(cause)));
      body.pipe(sent);
    }
  });
}

/** The whole body as text; an answer larger than `maxBytes` is refused. */
export async function readText(response: Readable, maxBytes = 64 * 1024 * 1024): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw new SandboxError('internal', `The answer is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (caught) {
    throw brokenOff(caught);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The error for an answer whose body did not come to its end. */
export function brokenOff(caught: unknown): SandboxError {
  if (caught instanceof SandboxError) return caught;
  const { name, message, cause } = caught instanceof Error ? caught : new Error(String(caught));
  if (name !== 'AbortError') {
    return new SandboxError('unavailable', `The answer broke off: ${message}`, { cause: caught });
  }
  return (cause as Error | undefined)?.name === 'TimeoutError'
    ? new SandboxError('deadline_exceeded', 'The answer did not come to its end in time', { cause: caught })
    : new SandboxError('canceled', 'The request was canceled', { cause: caught });
}

function unreachable(url: string, cause: unknown): SandboxError {
  if (cause instanceof SandboxError) return cause;
  const { origin } = new URL(url);
  const errno = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return errno === 'ECONNREFUSED'
    ? new SandboxError('unavailable', `The server is not running: nothing answers at ${origin}`, {
        cause,
        hint: 'Start it with: bash scripts/start.sh',
      })
    : new SandboxError('unavailable', `The server at ${origin} did not answer: ${errno}`, {
        cause,
        hint: 'Check the address, and the server with: sandbox-cli doctor',
      });
}

function aborted(url: string, signal: AbortSignal): SandboxError {
  const { origin, pathname } = new URL(url);
  return signal.reason?.name === 'TimeoutError'
    ? new SandboxError('deadline_exceeded', `${origin}${pathname} did not answer in time`, {
        cause: signal.reason,
      })
    : new SandboxError('canceled', 'The request was canceled', { cause: signal.reason });
}
