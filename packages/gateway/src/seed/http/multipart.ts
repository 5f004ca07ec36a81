import { SandboxError } from '@sandbox-backend/protocol';

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_PARTS = 64;
const HEAD_END = Buffer.from('\r\n\r\n');

export type Part = {
  name: string | undefined;
  filename: string | undefined;
  /** To be read to its end before the next part is asked for. */
  content: AsyncGenerator<Buffer>;
};

/** Errors: `invalid_argument` for a content type that is no form's. */
export function boundaryOf(contentType = ''): string {
  const match = /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/is.exec(
    contentType,
  );
  const boundary = match?.[1] ?? match?.[2];
  if (boundary) return boundary;
  throw new SandboxError('invalid_argument', "request Content-Type isn't multipart/form-data");
}

/**
 * The parts of a form one after the other, of which no more is held than a chunk and a delimiter.
 * Errors: `invalid_argument` for a body that is no form, or that ends too early.
 */
export async function* readParts(body: AsyncIterable<Buffer>, boundary: string): AsyncGenerator<Part> {
  const source = body[Symbol.asyncIterator]();
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  // The first delimiter may be the first bytes of the body; this makes it like the others.
  let rest: Buffer = Buffer.from('\r\n');

  const more = async () => {
    const { done, value } = await source.next();
    if (done) throw malformed('it ends too early');
    rest = rest.length === 0 ? value : Buffer.concat([rest, value]);
  };
  /** What comes before the next delimiter, which is passed over. */
  async function* upToDelimiter(): AsyncGenerator<Buffer> {
    for (;;) {
      const found = rest.indexOf(delimiter);
      // What may be the beginning of a delimiter waits for the next chunk.
      const upTo = found >= 0 ? found : Math.max(rest.length - delimiter.length + 1, 0);
      const ready = rest.subarray(0, upTo);
      rest = rest.subarray(found >= 0 ? found + delimiter.length : upTo);
      if (ready.length > 0) yield ready;
      if (found >= 0) return;
      await more();
    }
  }

  let content = upToDelimiter();
  for (let count = 0; ; count++) {
    for await (const ignored of content) void ignored;
    while (rest.length < 2) await more();
    if (rest.toString('latin1', 0, 2) === '--') return;
    if (count >= MAX_PARTS) throw malformed(`it has more than ${MAX_PARTS} parts`);
    while (!rest.includes(HEAD_END)) {
      if (rest.length > MAX_HEAD_BYTES) throw malformed('a part has a head that is too large');
      await more();
    }
    const headEnd = rest.indexOf(HEAD_END);
    const head = rest.toString('utf8', 0, headEnd);
    rest = rest.subarray(headEnd + HEAD_END.length - 2);
    // A part without content ends where it begins: the delimiter has the line break of the head.
    if (rest.indexOf(delimiter) !== 0) rest = rest.subarray(2);
    content = upToDelimiter();
    yield { ...readHead(head), content };
  }
}

function readHead(head: string): { name: string | undefined; filename: string | undefined } {
  const line = /^content-disposition:[^\r\n]*$/im.exec(head)?.[0] ?? '';
  return { name: parameter(line, 'name'), filename: parameter(line, 'filename') };
}

function parameter(line: string, key: string): string | undefined {
  const match = new RegExp(`;\\s*${key}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;]*))`, 'i').exec(line);
  const value = match?.[1] ?? match?.[2];
  if (value === undefined) return undefined;
  // Browsers encode these three; aiohttp encodes everything.
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

const malformed = (what: string) => new SandboxError('invalid_argument', `multipart: ${what}`);
