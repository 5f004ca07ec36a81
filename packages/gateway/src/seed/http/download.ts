import type { IncomingMessage } from 'node:http';
import { basename } from 'node:path/posix';
import { pipeline } from 'node:stream/promises';
import { SandboxError } from '@sandbox-backend/protocol';
import { readFileStream } from '@sandbox-backend/sdk';
import { absolute, ROOT } from '../services/guest.ts';
import { type Exchange, HttpError } from './route.ts';

/** `GET /file?path=`: a file of the guest, as its bytes come. */
export async function download({ sandbox, req, res, query, signal }: Exchange): Promise<void> {
  const path = query.get('path');
  if (!path) throw new HttpError(400, 'No file path provided');
  const file = await readFileStream(sandbox.endpoint, absolute(path), { user: ROOT, signal }).catch(
    (caught) => {
      if (SandboxError.from(caught).code === 'not_found') throw new HttpError(404, `File not found: ${path}`);
      throw caught;
    },
  );
  const { 'content-type': type, 'content-length': length } = (file as IncomingMessage).headers;
  res.writeHead(200, {
    'Content-Type': type ?? 'application/octet-stream',
    'Content-Disposition': dispositionOf(basename(path)),
    ...(length !== undefined && { 'Content-Length': length }),
  });
  if (req.method === 'HEAD') {
    file.destroy();
    res.end();
    return;
  }
  await pipeline(file, res);
}

/** Names beyond plain ones are encoded (RFC 6266), so that none can break out of the header. */
function dispositionOf(name: string): string {
  if (/^[A-Za-z0-9._-]+$/.test(name)) return `attachment; filename=${name}`;
  const encoded = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename*=UTF-8''${encoded}`;
}
