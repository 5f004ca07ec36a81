import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Guest } from '../guest.ts';
import { httpError } from '../http/json.ts';
import { fileBody } from '../runtime.ts';
import { chooseCoding } from './encoding.ts';
import { fileError } from './errno.ts';
import { fileUser } from './file-user.ts';
import { parseRange } from './range.ts';
import { resolvePath } from './resolve-path.ts';
import { authorizeFile } from './signature.ts';

/** Sends a file, whole or a range of it, without ever holding it in memory. */
export async function download(guest: Guest, request: Request, query: URLSearchParams): Promise<Response> {
  authorizeFile(guest, request, query, 'read');
  const user = fileUser(guest, request, query.get('username'));
  const path = resolvePath(guest, user, query.get('path') ?? '');
  const stat = statFile(path);
  const body = fileBody(path);
  const lastModified = new Date(Math.max(stat.mtimeMs, 0)).toUTCString();
  const headers: Record<string, string> = {
    'content-type': body.type || 'application/octet-stream',
    'content-disposition': dispositionOf(basename(path)),
    'last-modified': lastModified,
    vary: 'Accept-Encoding',
  };

  const ifRange = request.headers.get('if-range');
  const rangeHeader = ifRange === null || ifRange === lastModified ? request.headers.get('range') : null;
  const coding = chooseCoding(request.headers.get('accept-encoding'));
  if (coding === 'none')
    return httpError(406, 'no acceptable encoding: this file is sent as it is or with gzip');

  if (stat.size === 0) return sendUnsized(path, headers);
  headers['accept-ranges'] = 'bytes';
  const range = parseRange(rangeHeader, stat.size);
  if (range === 'unsatisfiable') {
    headers['content-range'] = `bytes */${stat.size}`;
    headers['content-type'] = 'application/json';
    return new Response(JSON.stringify({ code: 416, message: 'the range is outside of the file' }), {
      status: 416,
      headers,
    });
  }
  if (range) {
    headers['content-range'] = `bytes ${range.start}-${range.end - 1}/${stat.size}`;
    return new Response(body.slice(range.start, range.end), { status: 206, headers });
  }
  if (coding === 'gzip') {
    headers['content-encoding'] = 'gzip';
    return new Response(body.stream().pipeThrough(new CompressionStream('gzip')), { headers });
  }
  return new Response(body, { headers });
}

/** Files of the kernel say that they are empty and are not: what they hold is found by reading. */
async function sendUnsized(path: string, headers: Record<string, string>): Promise<Response> {
  const { createReadStream } = await import('node:fs');
  const chunks: AsyncIterator<Uint8Array> = createReadStream(path)[Symbol.asyncIterator]();
  try {
    const first = await chunks.next();
    if (first.done) return new Response('', { headers });
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(first.value),
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await chunks.return?.();
      },
    });
    return new Response(body, { headers });
  } catch (caught) {
    throw fileError(caught, path);
  }
}

function statFile(path: string) {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw new SandboxError('invalid_argument', `path is a directory: ${path}`);
    if (!stat.isFile()) throw new SandboxError('invalid_argument', `path is not a regular file: ${path}`);
    return stat;
  } catch (caught) {
    throw fileError(caught, path);
  }
}

/** RFC 6266: names beyond plain ASCII are encoded, so that none can break out of the header. */
export function dispositionOf(name: string): string {
  if (/^[A-Za-z0-9._-]+$/.test(name)) return `inline; filename=${name}`;
  const plain = name.replace(/[^\x20-\x7e]|["\\]/g, '_');
  const encoded = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `inline; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
