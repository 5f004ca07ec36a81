import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  openSync,
  statfsSync,
  statSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { SandboxError } from '@sandbox-backend/protocol';
import type { User } from '../users/users.ts';
import { fileError } from './errno.ts';
import { makeFolders } from './make-folders.ts';

/** Short files are written at once; for long ones the disk may be slow, and nobody else shall wait for it. */
const SYNCHRONOUS_BYTES = 1024 * 1024;

/** Writes one file for the user; it keeps the mode of a file that it replaces. A new file that fails is taken away again. */
export class FileWriter {
  readonly path: string;
  private readonly fd: number;
  private readonly isNew: boolean;
  private bytes = 0;

  constructor(path: string, user: User, expectedBytes: number) {
    this.path = path;
    let fd = -1;
    try {
      makeFolders(dirname(path), user);
      const stat = statSync(path, { throwIfNoEntry: false });
      checkSpace(path, expectedBytes, stat?.isFile() ? stat.blocks * 512 : 0);
      if (stat?.isDirectory()) throw new SandboxError('invalid_argument', `path is a directory: ${path}`);
      // Without O_NONBLOCK, to open a pipe that nobody reads would stop envd.
      const { O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK } = constants;
      fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0o666);
      const opened = fstatSync(fd);
      if (opened.isFIFO()) throw new SandboxError('invalid_argument', `path is not a regular file: ${path}`);
      if (opened.isFile() && (opened.uid !== user.uid || opened.gid !== user.gid)) chown(fd, user);
      this.fd = fd;
      this.isNew = stat === undefined;
    } catch (caught) {
      if (fd >= 0) closeSync(fd);
      throw fileError(caught, path);
    }
  }

  /** Undefined when it was written at once. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.bytes += chunk.length;
    if (this.bytes > SYNCHRONOUS_BYTES) return this.writeLater(chunk);
    try {
      for (let offset = 0; offset < chunk.length; ) offset += writeSync(this.fd, chunk, offset);
      return undefined;
    } catch (caught) {
      throw fileError(caught, this.path);
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  abandon(): void {
    closeSync(this.fd);
    try {
      if (this.isNew) unlinkSync(this.path);
    } catch {
      // somebody else took it away
    }
  }

  private async writeLater(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.length; ) {
      offset += await new Promise<number>((resolve, reject) => {
        write(this.fd, chunk, offset, chunk.length - offset, null, (error, written) =>
          error ? reject(fileError(error, this.path)) : resolve(written),
        );
      });
    }
  }
}

function chown(fd: number, user: User): void {
  try {
    fchownSync(fd, user.uid, user.gid);
  } catch (caught) {
    // Files of the kernel, and of foreign file systems, have the owner they have.
    if (!['EPERM', 'EROFS', 'ENOTSUP', 'EINVAL'].includes((caught as NodeJS.ErrnoException).code ?? ''))
      throw caught;
  }
}

/** Refuses what cannot fit before the file that is there is touched; that file's own space becomes free. */
function checkSpace(path: string, bytes: number, replacedBytes: number): void {
  if (!(bytes > SYNCHRONOUS_BYTES)) return;
  const { bavail, bsize } = statfsSync(dirname(path));
  const free = Number(bavail) * Number(bsize) + replacedBytes;
  if (bytes > free) {
    throw new SandboxError(
      'no_space',
      `not enough disk space for ${path}: ${bytes} bytes needed, ${free} bytes free`,
    );
  }
}
