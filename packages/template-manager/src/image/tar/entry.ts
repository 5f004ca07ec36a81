/**
 * One member of a tar archive. Names, targets and attribute values are byte strings (`latin1`: one
 * character is one byte), because a file name need not be UTF-8 and a capability never is.
 */
export type TarEntry = {
  path: string;
  type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'char-device' | 'block-device' | 'fifo';
  /** Permissions with setuid, setgid and sticky bit. */
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970; may be negative or fractional. */
  mtime: number;
  size: number;
  /** Of a symbolic or hard link. */
  target: string;
  device: { major: number; minor: number };
  /** Extended attributes: name → value. */
  xattrs: ReadonlyMap<string, string>;
};

export const NO_XATTRS: ReadonlyMap<string, string> = new Map();

/** Text → byte string. */
export const toBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

/** Byte string → text for a person. */
export const toText = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');
