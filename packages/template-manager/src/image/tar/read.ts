import { NO_XATTRS, type TarEntry } from './entry.ts';

const BLOCK = 512;
const EXTENDED_HEADER_LIMIT = 1024 * 1024;
const XATTR = 'SCHILY.xattr.';

const TYPES: Record<string, TarEntry['type']> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
};

/** What is wrong with an archive, in words that follow "the archive is broken: ". */
export class TarError extends Error {}

/**
 * Reads a tar archive (ustar, PAX, GNU long names) member by member. `content` is gone when the next
 * member is asked for; what was not read of it is skipped. After the end of the archive the
 * source is read to its own end, so that a digest over it is complete.
 *
 * Errors: `TarError` for a broken or truncated archive, and whatever the source throws.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ entry: TarEntry; content: AsyncGenerator<Buffer> }> {
  const bytes = new ByteSource(source);
  let pax = new Map<string, string>();
  let longPath: string | undefined;
  let longTarget: string | undefined;
  for (;;) {
    const block = await bytes.take(BLOCK);
    if (!block) break; // an archive without its two empty blocks is accepted, as GNU tar does
    if (block.every((byte) => byte === 0)) {
      await bytes.drain();
      break;
    }
    const header = decodeHeader(block);
    if ('xgLK'.includes(header.flag)) {
      const data = await readExtended(bytes, header.size);
      if (header.flag === 'x') pax = decodePax(data);
      if (header.flag === 'L') longPath = untilNul(data.toString('latin1'));
      if (header.flag === 'K') longTarget = untilNul(data.toString('latin1'));
      continue;
    }
    const entry = describe(header, pax, longPath, longTarget);
    pax = new Map();
    longPath = longTarget = undefined;
    const unread = { size: entry.size };
    yield { entry, content: readContent(bytes, unread) };
    await bytes.skip(unread.size + ((BLOCK - (entry.size % BLOCK)) % BLOCK));
  }
}

type Header = { flag: string; name: string; linkName: string; size: number } & Pick<
  TarEntry,
  'mode' | 'uid' | 'gid' | 'mtime' | 'device'
>;

function decodeHeader(block: Buffer): Header {
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  if (number(block, 148, 8) !== sum) throw new TarError('a header has the wrong checksum');
  const text = (at: number, length: number) => untilNul(block.toString('latin1', at, at + length));
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? text(345, 155) : '';
  return {
    flag: String.fromCharCode(block[156] ?? 0),
    name: prefix ? `${prefix}/${text(0, 100)}` : text(0, 100),
    linkName: text(157, 100),
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
    device: { major: number(block, 329, 8), minor: number(block, 337, 8) },
  };
}

function describe(
  header: Header,
  pax: Map<string, string>,
  longPath?: string,
  longTarget?: string,
): TarEntry {
  const path = pax.get('path') ?? longPath ?? header.name;
  const type = header.flag === '0' && path.endsWith('/') ? 'directory' : TYPES[header.flag];
  if (!type) throw new TarError(`a member has the unknown type ${JSON.stringify(header.flag)}`);
  if ([...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
    throw new TarError('a member is stored sparse, which an image must not use');
  }
  const size = type === 'file' ? decimal(pax.get('size'), header.size) : 0;
  if (!Number.isSafeInteger(size) || size < 0) throw new TarError('a member has a broken size');
  const xattrs = [...pax].filter(([key]) => key.startsWith(XATTR));
  return {
    path,
    type,
    mode: header.mode,
    uid: decimal(pax.get('uid'), header.uid),
    gid: decimal(pax.get('gid'), header.gid),
    mtime: decimal(pax.get('mtime'), header.mtime),
    size,
    target: pax.get('linkpath') ?? longTarget ?? header.linkName,
    device: header.device,
    xattrs: xattrs.length
      ? new Map(xattrs.map(([key, value]) => [key.slice(XATTR.length), value]))
      : NO_XATTRS,
  };
}

function decimal(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (text === '' || !Number.isFinite(value)) throw new TarError('an extended header has a broken number');
  return value;
}

/** Octal text, or base 256 when the first bit is set, as GNU tar writes what is too large for it. */
function number(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if (first & 0x80) {
    let value = first & 0x40 ? -1n : 0n;
    for (const byte of block.subarray(at, at + length)) value = (value << 8n) | BigInt(byte);
    return Number(first & 0x40 ? value : value & ((1n << BigInt(length * 8 - 1)) - 1n));
  }
  const text = block
    .toString('latin1', at, at + length)
    .replaceAll('\0', ' ')
    .trim();
  if (!/^[0-7]*$/.test(text)) throw new TarError('a header has a broken number');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

async function readExtended(bytes: ByteSource, size: number): Promise<Buffer> {
  if (size < 0 || size > EXTENDED_HEADER_LIMIT) throw new TarError('an extended header is too large');
  const data = await bytes.take(size);
  if (!data) throw new TarError('it ends in the middle of a member');
  await bytes.skip((BLOCK - (size % BLOCK)) % BLOCK);
  return data;
}

/** Records of the form `<length> <key>=<value>\n`, where the length counts the whole record. */
function decodePax(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  let rest = data.toString('latin1');
  while (rest !== '') {
    const length = Number.parseInt(rest, 10);
    const record = rest.slice(0, length);
    const start = record.indexOf(' ') + 1;
    const equals = record.indexOf('=', start);
    if (!(length > 0) || record.length !== length || start === 0 || equals < 0 || !record.endsWith('\n')) {
      throw new TarError('an extended header is malformed');
    }
    records.set(record.slice(start, equals), record.slice(equals + 1, -1));
    rest = rest.slice(length);
  }
  return records;
}

async function* readContent(bytes: ByteSource, unread: { size: number }): AsyncGenerator<Buffer> {
  while (unread.size > 0) {
    const chunk = await bytes.some(unread.size);
    if (!chunk) throw new TarError('it ends in the middle of a member');
    unread.size -= chunk.length;
    yield chunk;
  }
}

const untilNul = (text: string) => text.split('\0', 1)[0] ?? '';

/** Takes exact amounts out of a stream of chunks. */
class ByteSource {
  private readonly chunks: AsyncIterator<Uint8Array>;
  private rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.chunks = source[Symbol.asyncIterator]();
  }

  /** Up to `limit` bytes, whatever is at hand; undefined at the end. */
  async some(limit: number): Promise<Buffer | undefined> {
    while (this.rest.length === 0) {
      const { value, done } = await this.chunks.next();
      if (done) return undefined;
      this.rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    const taken = this.rest.subarray(0, limit);
    this.rest = this.rest.subarray(taken.length);
    return taken;
  }

  /** Exactly `size` bytes, or undefined when the stream ended before the first. */
  async take(size: number): Promise<Buffer | undefined> {
    if (this.rest.length >= size) return this.some(size);
    const parts: Buffer[] = [];
    for (let left = size; left > 0; ) {
      const part = await this.some(left);
      if (!part && parts.length === 0) return undefined;
      if (!part) throw new TarError('it ends in the middle of a member');
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  async skip(size: number): Promise<void> {
    for (let left = size; left > 0; ) {
      const part = await this.some(left);
      if (!part) throw new TarError('it ends in the middle of a member');
      left -= part.length;
    }
  }

  async drain(): Promise<void> {
    while (await this.some(Number.MAX_SAFE_INTEGER));
  }
}
