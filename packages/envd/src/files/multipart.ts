import { SandboxError } from '@sandbox-backend/protocol';
import type { FileWriter } from './file-writer.ts';

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_PARTS = 10_000;

/**
 * Writes the parts named `file` of a multipart/form-data body, each as it comes, and returns their paths. A part goes to
 * its own file name; a single part may go to `path` instead.
 */
export async function writeParts(
  body: AsyncIterable<Uint8Array>,
  contentType: string,
  path: string | undefined,
  open: (path: string) => FileWriter,
): Promise<string[]> {
  const paths: string[] = [];
  const target = (head: PartHead): string | undefined => {
    if (head.name !== 'file') return undefined;
    if (paths.length >= MAX_PARTS) throw invalid(`it has more than ${MAX_PARTS} files`);
    if (path !== undefined && paths.length > 0) {
      throw invalid('the query parameter path names one file, and it has several');
    }
    const name = path ?? head.filename;
    if (!name) throw invalid('a file has no name');
    return name;
  };

  let writer: FileWriter | undefined;
  try {
    for await (const event of splitParts(body, boundaryOf(contentType))) {
      if (event.type === 'head') {
        const name = target(event);
        writer = name === undefined ? undefined : open(name);
      } else if (event.type === 'data') {
        const later = writer?.write(event.bytes);
        if (later !== undefined) await later;
      } else if (writer) {
        writer.close();
        paths.push(writer.path);
        writer = undefined;
      }
    }
  } catch (caught) {
    writer?.abandon();
    throw caught;
  }
  if (paths.length === 0) throw invalid('it has no part named file');
  return paths;
}

type PartHead = { name: string | undefined; filename: string | undefined };
type PartEvent = ({ type: 'head' } & PartHead) | { type: 'data'; bytes: Uint8Array } | { type: 'end' };

const invalid = (what: string) =>
  new SandboxError('invalid_argument', `the multipart body is not usable: ${what}`);

export function boundaryOf(contentType: string): string {
  const match = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (!boundary) throw invalid('the content type names no boundary');
  return boundary;
}

/** Cuts a body into parts without holding more of it than a chunk and a delimiter. */
export async function* splitParts(
  body: AsyncIterable<Uint8Array>,
  boundary: string,
): AsyncGenerator<PartEvent> {
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  let state: 'delimiter' | 'after' | 'head' | 'data' | 'done' = 'delimiter';
  // The first delimiter may be the first bytes of the body; this makes it like the others.
  let rest: Buffer = Buffer.from('\r\n');

  for await (const chunk of body) {
    if (state === 'done') continue;
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    for (;;) {
      if (state === 'delimiter' || state === 'data') {
        const found = rest.indexOf(delimiter);
        // What may be the beginning of a delimiter is kept for the next chunk.
        const upTo = found < 0 ? rest.length - delimiter.length + 1 : found;
        if (state === 'data' && upTo > 0) yield { type: 'data', bytes: rest.subarray(0, upTo) };
        if (found < 0) {
          if (upTo > 0) rest = rest.subarray(upTo);
          break;
        }
        if (state === 'data') yield { type: 'end' };
        rest = rest.subarray(found + delimiter.length);
        state = 'after';
      } else if (state === 'after') {
        if (rest.length < 2) break;
        if (rest[0] === 0x2d && rest[1] === 0x2d) {
          state = 'done'; // what follows the closing delimiter is read and ignored
          break;
        }
        const end = rest.indexOf('\r\n');
        if (end < 0) {
          if (rest.length > MAX_HEAD_BYTES) throw invalid('a delimiter does not end');
          break;
        }
        if (rest.toString('latin1', 0, end).trim() !== '')
          throw invalid('a delimiter has something behind it');
        rest = rest.subarray(end); // the line break stays: a head of no lines is two of them
        state = 'head';
      } else {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) {
          if (rest.length > MAX_HEAD_BYTES) throw invalid('the head of a part is too long');
          break;
        }
        yield { type: 'head', ...parseHead(rest.toString('utf8', 0, end)) };
        rest = rest.subarray(end + 4);
        state = 'data';
      }
    }
  }
  if (state !== 'done') throw invalid('it ends before its last delimiter');
}

function parseHead(head: string): PartHead {
  const line = head.split('\r\n').find((candidate) => /^content-disposition\s*:/i.test(candidate)) ?? '';
  return { name: parameter(line, 'name'), filename: parameter(line, 'filename') };
}

function parameter(line: string, key: string): string | undefined {
  const match = new RegExp(`;\\s*${key}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;]*))`, 'i').exec(line);
  const value = match?.[1] ?? match?.[2];
  // Browsers and the SDKs encode these three and nothing else.
  return value?.replace(/%22/g, '"').replace(/%0D/gi, '\r').replace(/%0A/gi, '\n');
}
