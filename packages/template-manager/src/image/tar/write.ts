import type { TarEntry } from './entry.ts';

const BLOCK = 512;
const FLAGS: Record<TarEntry['type'], string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'char-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};

/** The header of a member, with a PAX header before it where ustar cannot say everything. */
export function tarHeader(entry: TarEntry): Buffer {
  const records = new Map<string, string>();
  if (entry.path.length > 100 || !isAscii(entry.path)) records.set('path', entry.path);
  if (entry.target.length > 100 || !isAscii(entry.target)) records.set('linkpath', entry.target);
  if (!fits(entry.uid, 7)) records.set('uid', String(entry.uid));
  if (!fits(entry.gid, 7)) records.set('gid', String(entry.gid));
  if (!fits(entry.size, 11)) records.set('size', String(entry.size));
  if (!fits(entry.mtime, 11)) records.set('mtime', String(entry.mtime));
  for (const [name, value] of entry.xattrs) records.set(`SCHILY.xattr.${name}`, value);
  const header = ustarHeader(entry, FLAGS[entry.type]);
  if (records.size === 0) return header;
  const data = Buffer.from([...records].map(paxRecord).join(''), 'latin1');
  const extended = ustarHeader(
    { ...entry, path: 'PaxHeader', target: '', mode: 0o644, uid: 0, gid: 0, mtime: 0, size: data.length },
    'x',
  );
  return Buffer.concat([extended, data, tarPadding(data.length), header]);
}

/** What follows the content of a member. */
export const tarPadding = (size: number): Buffer => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);

export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK);

function ustarHeader(entry: TarEntry, flag: string): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number) =>
    block.write((fits(value, digits) ? value : 0).toString(8).padStart(digits, '0'), at, 'latin1');
  block.write(entry.path.slice(0, 100), 0, 'latin1');
  octal(entry.mode, 100, 7);
  octal(entry.uid, 108, 7);
  octal(entry.gid, 116, 7);
  octal(entry.size, 124, 11);
  octal(entry.mtime, 136, 11);
  block.write(flag, 156, 'latin1');
  block.write(entry.target.slice(0, 100), 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(entry.device.major, 329, 7);
  octal(entry.device.minor, 337, 7);
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

const fits = (value: number, digits: number) => Number.isInteger(value) && value >= 0 && value < 8 ** digits;

// biome-ignore lint/suspicious/noControlCharactersInRegex: what is not ASCII is the question
const isAscii = (bytes: string) => /^[\x01-\x7f]*$/.test(bytes);

function paxRecord([key, value]: [string, string]): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length > length) length++;
  return `${length}${rest}`;
}
