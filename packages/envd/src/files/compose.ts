import { createReadStream, statSync } from 'node:fs';
import { SandboxError } from '@sandbox-backend/protocol';
import { entryOf } from '../filesystem/entry.ts';
import type { Guest } from '../guest.ts';
import { jsonResponse, parseObject, readText, readTexts } from '../http/json.ts';
import { fileError } from './errno.ts';
import { fileUser } from './file-user.ts';
import { FileWriter } from './file-writer.ts';
import { resolvePath } from './resolve-path.ts';

const MAX_SOURCES = 10_000;

/** Writes files one after the other into one, without their bytes leaving the guest. The sources stay. */
export async function compose(guest: Guest, request: Request): Promise<Response> {
  const message = parseObject(await request.text());
  const user = fileUser(guest, request, readText(message, 'username') || null);
  const name = readText(message, 'destination');
  const sources = readTexts(message, 'source_paths', 'sourcePaths').map((path) =>
    resolvePath(guest, user, path),
  );
  if (name === '' || sources.length === 0) {
    throw new SandboxError('invalid_argument', 'source_paths and destination are needed');
  }
  if (sources.length > MAX_SOURCES) {
    throw new SandboxError('invalid_argument', `there are more than ${MAX_SOURCES} source_paths`);
  }
  const destination = resolvePath(guest, user, name);
  let bytes = 0;
  for (const source of sources) {
    if (source === destination)
      throw new SandboxError('invalid_argument', `${source} cannot become a part of itself`);
    bytes += sizeOf(source);
  }
  const writer = new FileWriter(destination, user, bytes);
  try {
    for (const source of sources) {
      for await (const chunk of createReadStream(source, { highWaterMark: 256 * 1024 })) {
        await writer.write(chunk as Buffer);
      }
    }
  } catch (caught) {
    writer.abandon();
    throw fileError(caught, destination);
  }
  writer.close();
  return jsonResponse(entryOf(destination, guest.users));
}

function sizeOf(path: string): number {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new SandboxError('invalid_argument', `path is not a regular file: ${path}`);
    return stat.size;
  } catch (caught) {
    throw fileError(caught, path);
  }
}
