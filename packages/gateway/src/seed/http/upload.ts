import { basename } from 'node:path/posix';
import { Readable } from 'node:stream';
import { SandboxError } from '@sandbox-backend/protocol';
import { callUnary, writeFileStream } from '@sandbox-backend/sdk';
import { absolute, USER } from '../services/guest.ts';
import { boundaryOf, type Part, readParts } from './multipart.ts';
import { type Exchange, HttpError, sendText } from './route.ts';

const MAX_PATH_BYTES = 4096;

/**
 * `POST /file`: writes the part `file` of a form as its bytes come, to the path of the query or of the part
 * `path`, else into the user's home under its own name. The file is the user's.
 */
export async function upload({ sandbox, req, res, query, signal }: Exchange): Promise<void> {
  const { endpoint } = sandbox;
  const boundary = boundaryOf(req.headers['content-type']);
  let path = query.get('path') ?? '';
  let written: string | undefined;
  const options = { user: USER, signal };
  for await (const part of readParts(req, boundary)) {
    if (part.name === 'path') {
      path = (await readPath(part)) || path;
    } else if (part.name === 'file' && written === undefined) {
      written = path ? absolute(path) : homeOf(part);
      await writeFileStream(endpoint, written, Readable.from(part.content), options);
    }
  }
  if (written === undefined) throw new HttpError(400, 'http: no such file');
  // The path may have come after the file.
  if (path && absolute(path) !== written) {
    await callUnary(
      endpoint,
      'filesystem.Filesystem/Move',
      { source: written, destination: absolute(path) },
      options,
    );
  }
  sendText(res, 200, '');
}

function homeOf({ filename = '' }: Part): string {
  const name = basename(filename);
  if (name === '' || name === '.' || name === '..') throw new HttpError(400, 'The file has no name');
  return `~/${name}`;
}

async function readPath({ content }: Part): Promise<string> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of content) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length > MAX_PATH_BYTES) {
      throw new SandboxError('invalid_argument', `the path is longer than ${MAX_PATH_BYTES} bytes`);
    }
  }
  return bytes.toString('utf8');
}
