// Runs in the guest, on Bun, as the user who logged in: version 3 of the file transfer protocol with OpenSSH's
// extensions (draft-ietf-secsh-filexfer-02, OpenSSH's PROTOCOL) between standard input and output. It does one
// request after the other and waits for each, so nothing but one request is ever in memory.
// It is sent to the guest as text: it can import nothing of ours, and must be types and JavaScript only.
import * as fs from 'node:fs';

const MAX_PACKET = 256 * 1024;
const MAX_DATA = MAX_PACKET - 1024;
const MAX_HANDLES = 256;
const NAMES_AT_A_TIME = 64;

const OK = 0,
  END_OF_FILE = 1,
  NO_SUCH_FILE = 2,
  PERMISSION_DENIED = 3,
  FAILURE = 4,
  BAD_MESSAGE = 5,
  UNSUPPORTED = 8;
const STATUS = 101,
  HANDLE = 102,
  DATA = 103,
  NAME = 104,
  ATTRS = 105,
  EXTENDED_REPLY = 201;
const EXTENSIONS = {
  'posix-rename@openssh.com': '1',
  'statvfs@openssh.com': '2',
  'hardlink@openssh.com': '1',
  'fsync@openssh.com': '1',
  'lsetstat@openssh.com': '1',
  'limits@openssh.com': '1',
  'expand-path@openssh.com': '1',
};

type Attributes = {
  size?: number;
  uid?: number;
  gid?: number;
  mode?: number;
  atime?: number;
  mtime?: number;
};
type Handle = { fd: number } | { folder: string; names: string[] };

class Refused extends Error {
  status: number;
  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

// Paths are bytes, kept as Latin-1 text: names need not be UTF-8.
const bytes = (path: string) => Buffer.from(path, 'latin1');
const join = (folder: string, name: string) => (folder.endsWith('/') ? folder + name : `${folder}/${name}`);

/** Reads the fields of one packet. */
class Fields {
  data: Buffer;
  at = 0;
  constructor(data: Buffer) {
    this.data = data;
  }
  number() {
    this.at += 4;
    if (this.at > this.data.length) throw new Refused(BAD_MESSAGE, 'the message is cut off');
    return this.data.readUInt32BE(this.at - 4);
  }
  long() {
    return this.number() * 2 ** 32 + this.number();
  }
  string() {
    const length = this.number();
    this.at += length;
    if (this.at > this.data.length) throw new Refused(BAD_MESSAGE, 'the message is cut off');
    return this.data.subarray(this.at - length, this.at);
  }
  path() {
    const path = this.string().toString('latin1');
    if (path.includes('\0')) throw new Refused(FAILURE, 'a path holds no zero byte');
    return path === '' ? '.' : path;
  }
  attributes(): Attributes {
    const flags = this.number();
    const found: Attributes = {};
    if (flags & 1) found.size = this.long();
    if (flags & 2) [found.uid, found.gid] = [this.number(), this.number()];
    if (flags & 4) found.mode = this.number() & 0o7777;
    if (flags & 8) [found.atime, found.mtime] = [this.number(), this.number()];
    return found;
  }
}

const number = (value: number) => {
  const field = Buffer.alloc(4);
  field.writeUInt32BE(value >>> 0);
  return field;
};
const long = (value: number) => {
  const field = Buffer.alloc(8);
  field.writeBigUInt64BE(BigInt.asUintN(64, BigInt(Math.trunc(value))));
  return field;
};
const string = (value: Buffer | string) => {
  const data = typeof value === 'string' ? bytes(value) : value;
  return Buffer.concat([number(data.length), data]);
};
const attributes = (stat: fs.Stats) =>
  Buffer.concat(
    [1 | 2 | 4 | 8]
      .map(number)
      .concat(
        long(stat.size),
        number(stat.uid),
        number(stat.gid),
        number(stat.mode),
        number(stat.atimeMs / 1000),
        number(stat.mtimeMs / 1000),
      ),
  );

const handles = new Map<string, Handle>();
let handleCount = 0;

function keep(handle: Handle): Buffer {
  const name = String(++handleCount);
  handles.set(name, handle);
  return Buffer.concat([Buffer.from([HANDLE]), string(name)]);
}
function requireRoom() {
  if (handles.size >= MAX_HANDLES) throw new Refused(FAILURE, 'too many files are open');
}
function take(fields: Fields): [string, Handle] {
  const name = fields.string().toString('latin1');
  const handle = handles.get(name);
  if (!handle) throw new Refused(FAILURE, 'there is no such handle');
  return [name, handle];
}
function descriptor(fields: Fields): number {
  const [, handle] = take(fields);
  if (!('fd' in handle)) throw new Refused(FAILURE, 'it is a folder');
  return handle.fd;
}

function openFile(path: string, flags: number, mode: number): number {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_TRUNC, O_EXCL } = fs.constants;
  const access = (flags & 3) === 3 ? O_RDWR : flags & 2 ? O_WRONLY : O_RDONLY;
  const how =
    (flags & 4 ? O_APPEND : 0) |
    (flags & 8 ? O_CREAT : 0) |
    (flags & 16 ? O_TRUNC : 0) |
    (flags & 32 ? O_EXCL : 0);
  return fs.openSync(bytes(path), access | how, mode);
}

/** By path or by descriptor. */
function change(target: Buffer | number, given: Attributes) {
  const isFile = typeof target === 'number';
  if (given.size !== undefined)
    isFile ? fs.ftruncateSync(target, given.size) : fs.truncateSync(target, given.size);
  if (given.mode !== undefined) isFile ? fs.fchmodSync(target, given.mode) : fs.chmodSync(target, given.mode);
  if (given.atime !== undefined && given.mtime !== undefined) {
    isFile
      ? fs.futimesSync(target, given.atime, given.mtime)
      : fs.utimesSync(target, given.atime, given.mtime);
  }
  if (given.uid !== undefined && given.gid !== undefined) {
    isFile ? fs.fchownSync(target, given.uid, given.gid) : fs.chownSync(target, given.uid, given.gid);
  }
}

const realPath = (path: string) => fs.realpathSync(bytes(path), { encoding: 'buffer' }).toString('latin1');

/** Also of a file that is not there yet, in a folder that is. */
function resolvePath(path: string): string {
  try {
    return realPath(path);
  } catch (caught) {
    const [, folder = '', name = ''] = /^(.*?)([^/]+)\/*$/s.exec(path) ?? [];
    if ((caught as NodeJS.ErrnoException).code !== 'ENOENT' || name === '' || name === '..') throw caught;
    return join(realPath(folder || '.'), name);
  }
}

const home = process.env.HOME || '/';

function expandPath(path: string): string {
  if (path === '~' || path.startsWith('~/')) return resolvePath(join(home, path.slice(2)));
  const [, user, rest = ''] = /^~([^/]+)(.*)$/s.exec(path) ?? [];
  if (user === undefined) return resolvePath(path);
  const folder = read('/etc/passwd').find(([name]) => name === user)?.[5];
  if (!folder) throw new Refused(FAILURE, `there is no user ${user}`);
  return resolvePath(folder + rest);
}

/** The lines of passwd(5) and group(5). */
function read(file: string): string[][] {
  try {
    return fs
      .readFileSync(file, 'latin1')
      .split('\n')
      .map((line) => line.split(':'));
  } catch {
    return [];
  }
}
let users: Map<string, string> | undefined;
let groups: Map<string, string> | undefined;

const TYPES: [number, string][] = [
  [0o040000, 'd'],
  [0o120000, 'l'],
  [0o020000, 'c'],
  [0o060000, 'b'],
  [0o010000, 'p'],
  [0o140000, 's'],
];

/** What `ls -l` prints, for people. */
function longName(name: string, stat: fs.Stats): string {
  users ??= new Map(read('/etc/passwd').map(([user = '', , id = '']) => [id, user]));
  groups ??= new Map(read('/etc/group').map(([group = '', , id = '']) => [id, group]));
  const type = TYPES.find(([bits]) => bits === (stat.mode & 0o170000))?.[1] ?? '-';
  let mode = '';
  for (let bit = 8; bit >= 0; bit--) mode += stat.mode & (1 << bit) ? 'rwx'[(8 - bit) % 3] : '-';
  const [, month, day, year, time = ''] = new Date(stat.mtimeMs).toString().split(' ');
  const recent = Math.abs(Date.now() - stat.mtimeMs) < 180 * 86_400_000;
  const owner = (users.get(`${stat.uid}`) ?? `${stat.uid}`).padEnd(8);
  const group = (groups.get(`${stat.gid}`) ?? `${stat.gid}`).padEnd(8);
  const when = `${month} ${day} ${recent ? time.slice(0, 5) : year?.padStart(5)}`;
  return `${type}${mode} ${String(stat.nlink).padStart(4)} ${owner} ${group} ${String(stat.size).padStart(8)} ${when} ${name}`;
}

const names = (entries: Buffer[]) => Buffer.concat([Buffer.from([NAME]), number(entries.length), ...entries]);
const justName = (path: string) => names([Buffer.concat([string(path), string(path), number(0)])]);

function readFolder(handle: Handle): Buffer {
  if ('fd' in handle) throw new Refused(FAILURE, 'it is not a folder');
  const entries: Buffer[] = [];
  while (entries.length < NAMES_AT_A_TIME) {
    const name = handle.names.pop();
    if (name === undefined) break;
    try {
      const stat = fs.lstatSync(bytes(join(handle.folder, name)));
      entries.push(Buffer.concat([string(name), string(longName(name, stat)), attributes(stat)]));
    } catch {
      // It was removed meanwhile.
    }
  }
  if (entries.length === 0) throw new Refused(END_OF_FILE, 'that was all');
  return names(entries);
}

const done = () => status(OK, '');
const status = (code: number, text: string) =>
  Buffer.concat([Buffer.from([STATUS]), number(code), string(Buffer.from(text)), string('')]);

function extended(fields: Fields): Buffer {
  switch (fields.string().toString('latin1')) {
    case 'posix-rename@openssh.com':
      fs.renameSync(bytes(fields.path()), bytes(fields.path()));
      return done();
    case 'hardlink@openssh.com':
      fs.linkSync(bytes(fields.path()), bytes(fields.path()));
      return done();
    case 'fsync@openssh.com':
      fs.fsyncSync(descriptor(fields));
      return done();
    case 'lsetstat@openssh.com': {
      const path = bytes(fields.path());
      const { uid, gid, atime, mtime } = fields.attributes();
      if (atime !== undefined && mtime !== undefined) fs.lutimesSync(path, atime, mtime);
      if (uid !== undefined && gid !== undefined) fs.lchownSync(path, uid, gid);
      return done();
    }
    case 'statvfs@openssh.com': {
      const { bsize, blocks, bfree, bavail, files, ffree } = fs.statfsSync(bytes(fields.path()));
      const values = [bsize, bsize, blocks, bfree, bavail, files, ffree, ffree, 0, 0, 255];
      return Buffer.concat([Buffer.from([EXTENDED_REPLY]), ...values.map(long)]);
    }
    case 'limits@openssh.com':
      return Buffer.concat([
        Buffer.from([EXTENDED_REPLY]),
        ...[MAX_PACKET, MAX_DATA, MAX_DATA, MAX_HANDLES].map(long),
      ]);
    case 'expand-path@openssh.com':
      return justName(expandPath(fields.path()));
    default:
      return status(UNSUPPORTED, 'this extension is not offered');
  }
}

/** The answer to one request, by its type. */
const REQUESTS: Record<number, (fields: Fields) => Buffer> = {
  3(fields) {
    const path = fields.path();
    const flags = fields.number();
    requireRoom();
    return keep({ fd: openFile(path, flags, fields.attributes().mode ?? 0o666) });
  },
  4(fields) {
    const [name, handle] = take(fields);
    handles.delete(name);
    if ('fd' in handle) fs.closeSync(handle.fd);
    return done();
  },
  5(fields) {
    const [fd, offset, length] = [descriptor(fields), fields.long(), fields.number()];
    const answer = Buffer.allocUnsafe(5 + Math.min(length, MAX_DATA));
    const count = fs.readSync(fd, answer, 5, answer.length - 5, offset);
    if (count === 0 && length > 0) throw new Refused(END_OF_FILE, 'that was all');
    answer[0] = DATA;
    answer.writeUInt32BE(count, 1);
    return answer.subarray(0, 5 + count);
  },
  6(fields) {
    const [fd, offset, data] = [descriptor(fields), fields.long(), fields.string()];
    for (let at = 0; at < data.length; ) at += fs.writeSync(fd, data, at, data.length - at, offset + at);
    return done();
  },
  7: (fields) => Buffer.concat([Buffer.from([ATTRS]), attributes(fs.lstatSync(bytes(fields.path())))]),
  8: (fields) => Buffer.concat([Buffer.from([ATTRS]), attributes(fs.fstatSync(descriptor(fields)))]),
  9(fields) {
    change(bytes(fields.path()), fields.attributes());
    return done();
  },
  10(fields) {
    change(descriptor(fields), fields.attributes());
    return done();
  },
  11(fields) {
    const folder = fields.path();
    requireRoom();
    const found = fs
      .readdirSync(bytes(folder), { encoding: 'buffer' })
      .map((name) => name.toString('latin1'));
    return keep({ folder, names: ['.', '..', ...found].reverse() });
  },
  12: (fields) => readFolder(take(fields)[1]),
  13(fields) {
    fs.unlinkSync(bytes(fields.path()));
    return done();
  },
  14(fields) {
    fs.mkdirSync(bytes(fields.path()), { mode: fields.attributes().mode ?? 0o777 });
    return done();
  },
  15(fields) {
    fs.rmdirSync(bytes(fields.path()));
    return done();
  },
  16: (fields) => justName(resolvePath(fields.path())),
  17: (fields) => Buffer.concat([Buffer.from([ATTRS]), attributes(fs.statSync(bytes(fields.path())))]),
  18(fields) {
    const [from, to] = [bytes(fields.path()), bytes(fields.path())];
    if (fs.lstatSync(to, { throwIfNoEntry: false }))
      throw new Refused(FAILURE, 'there is a file of the new name');
    fs.renameSync(from, to);
    return done();
  },
  19: (fields) => justName(fs.readlinkSync(bytes(fields.path()), { encoding: 'buffer' }).toString('latin1')),
  // OpenSSH has the two in this order, and everybody follows it.
  20(fields) {
    const [target, path] = [fields.string(), bytes(fields.path())];
    fs.symlinkSync(target, path);
    return done();
  },
  200: extended,
};

function answer(type: number, fields: Fields): Buffer {
  try {
    return REQUESTS[type]?.(fields) ?? status(UNSUPPORTED, 'this request is not offered');
  } catch (caught) {
    if (caught instanceof Refused) return status(caught.status, caught.message);
    const { code, message } = caught as NodeJS.ErrnoException;
    if (code === 'ENOENT') return status(NO_SUCH_FILE, 'No such file or directory');
    if (code === 'EACCES' || code === 'EPERM') return status(PERMISSION_DENIED, 'Permission denied');
    return status(FAILURE, `${code ?? ''} ${message}`.trim());
  }
}

function send(packet: Buffer) {
  const data = Buffer.concat([number(packet.length), packet]);
  for (let at = 0; at < data.length; ) at += fs.writeSync(1, data, at, data.length - at);
}

function handle(packet: Buffer) {
  const type = packet[0]!;
  const fields = new Fields(packet.subarray(1));
  if (type === 1) {
    const offers = Object.entries(EXTENSIONS).flatMap(([name, version]) => [string(name), string(version)]);
    return send(Buffer.concat([Buffer.from([2]), number(3), ...offers]));
  }
  if (packet.length < 5) throw new Error('a request has no number');
  const id = number(fields.number());
  const reply = answer(type, fields);
  send(Buffer.concat([reply.subarray(0, 1), id, reply.subarray(1)]));
}

try {
  process.chdir(home);
} catch {
  // A user whose home was never made begins at the top.
}
let rest = Buffer.alloc(0);
const input = Buffer.allocUnsafe(MAX_PACKET);
for (;;) {
  const count = fs.readSync(0, input, 0, input.length, null);
  if (count === 0) break;
  rest = Buffer.concat([rest, input.subarray(0, count)]);
  while (rest.length >= 4) {
    const length = rest.readUInt32BE(0);
    if (length < 1 || length > MAX_PACKET) {
      fs.writeSync(2, 'sftp: this is not the file transfer protocol\n');
      process.exit(1);
    }
    if (rest.length < 4 + length) break;
    handle(rest.subarray(4, 4 + length));
    rest = rest.subarray(4 + length);
  }
}
process.exit(0);
