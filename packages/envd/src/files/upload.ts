import { basename } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Guest } from '../guest.ts';
import { jsonResponse } from '../http/json.ts';
import { fileUser } from './file-user.ts';
import { FileWriter } from './file-writer.ts';
import { type Metadata, metadataOf, setMetadata } from './metadata.ts';
import { resolvePath } from './resolve-path.ts';
import { authorizeFile } from './signature.ts';

/** Writes one file, or many, as their bytes come. */
export async function upload(guest: Guest, request: Request, query: URLSearchParams): Promise<Response> {
  authorizeFile(guest, request, query, 'write');
  const user = fileUser(guest, request, query.get('username'));
  const metadata = metadataOf(request.headers);
  const { body, bytes } = decode(request);
  const path = query.get('path') || undefined;
  const open = (name: string) => new FileWriter(resolvePath(guest, user, name), user, bytes);

  const type = request.headers.get('content-type') ?? '';
  if (/^application\/octet-stream\b/i.test(type)) {
    if (path === undefined) throw new SandboxError('invalid_argument', 'the query parameter path is missing');
    return jsonResponse([written(await writeStream(open(path), body), metadata)]);
  }
  if (/^multipart\/form-data\b/i.test(type)) {
    const { writeParts } = await import('./multipart.ts');
    const paths = await writeParts(body, type, path, open);
    return jsonResponse(paths.map((file) => written(file, metadata)));
  }
  throw new SandboxError(
    'invalid_argument',
    `content type ${JSON.stringify(type.slice(0, 100))} is neither multipart/form-data nor application/octet-stream`,
  );
}

function written(path: string, metadata: Metadata | undefined) {
  if (metadata) setMetadata(path, metadata);
  return { name: basename(path), path, type: 'file', ...(metadata && { metadata }) };
}

async function writeStream(writer: FileWriter, body: AsyncIterable<Uint8Array>): Promise<string> {
  try {
    for await (const chunk of body) {
      const later = writer.write(chunk);
      if (later !== undefined) await later;
    }
  } catch (caught) {
    writer.abandon();
    throw caught;
  }
  writer.close();
  return writer.path;
}

/** The body without its content coding, and how many bytes it will be at least; 0 when that is not known. */
function decode(request: Request): { body: AsyncIterable<Uint8Array>; bytes: number } {
  const body: ReadableStream<Uint8Array> = request.body ?? new ReadableStream({ start: (c) => c.close() });
  const coding = (request.headers.get('content-encoding') ?? 'identity').trim().toLowerCase();
  if (coding === 'identity' || coding === '') {
    return { body, bytes: Number(request.headers.get('content-length') ?? 0) };
  }
  if (coding === 'gzip' || coding === 'x-gzip') {
    return { body: gunzip(body), bytes: 0 };
  }
  throw new SandboxError('invalid_argument', `content encoding ${JSON.stringify(coding)} is not supported`);
}

async function* gunzip(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body.pipeThrough(
      new DecompressionStream('gzip') as unknown as ReadableWritablePair<Uint8Array, Uint8Array>,
    );
  } catch (caught) {
    if (caught instanceof SandboxError) throw caught;
    throw new SandboxError('invalid_argument', 'the body is not valid gzip', { cause: caught });
  }
}
