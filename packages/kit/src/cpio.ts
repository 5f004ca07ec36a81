/** One member of an initramfs: a folder, an executable file, or a symbolic link. */
export type CpioEntry =
  | { path: string; type: 'directory' }
  | { path: string; type: 'file'; mode: number; data: Uint8Array }
  | { path: string; type: 'symlink'; target: string };

const TYPE_BITS = { directory: 0o040000, file: 0o100000, symlink: 0o120000 };

/** Packs entries as a `newc` cpio archive, the format the kernel unpacks (Documentation/driver-api/early-userspace). */
export function packCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  entries.forEach((entry, index) => {
    const mode = entry.type === 'file' ? entry.mode : 0o755;
    parts.push(...member(entry.path, TYPE_BITS[entry.type] | mode, index + 1, content(entry)));
  });
  parts.push(...member('TRAILER!!!', 0, 0, Buffer.alloc(0)));
  return Buffer.concat(parts);
}

function content(entry: CpioEntry): Uint8Array {
  if (entry.type === 'file') return entry.data;
  return entry.type === 'symlink' ? Buffer.from(entry.target) : Buffer.alloc(0);
}

function member(name: string, mode: number, inode: number, data: Uint8Array): Buffer[] {
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, nameBytes.length, 0];
  const header = Buffer.from(`070701${fields.map((n) => n.toString(16).padStart(8, '0')).join('')}`);
  return [
    header,
    nameBytes,
    padding(header.length + nameBytes.length),
    Buffer.from(data),
    padding(data.length),
  ];
}

const padding = (length: number) => Buffer.alloc((4 - (length % 4)) % 4);
