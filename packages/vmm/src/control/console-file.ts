import type { FileHandle } from 'node:fs/promises';
import { openOwn } from '../open-own.ts';

/** What is kept of what nobody has read; the oldest is let go. */
const KEPT_BYTES = 64 * 1024;
const MAX_FILE_BYTES = 256 * 1024;
const TRIM_EVERY_MS = 1000;

/**
 * The console of a guest whose VMM writes it to a file. The file is emptied whenever it has grown: a guest can
 * print without end, and the disk is the host's. The VMM goes on writing where it was, so that the emptied file
 * has a hole at its start, which takes no space.
 */
export class ConsoleFile implements Disposable {
  private readonly path: string;
  private readonly timer: NodeJS.Timeout;
  private offset = 0;
  private emptied = false;
  private unread: Buffer = Buffer.alloc(0);
  private turn: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.path = path;
    this.timer = setInterval(
      () => void this.inTurn(() => this.trim()).catch(() => {}),
      TRIM_EVERY_MS,
    ).unref();
  }

  /** What was printed since the last call. */
  read(): Promise<Buffer> {
    return this.inTurn(async () => {
      await this.pull();
      const bytes = this.unread;
      this.unread = Buffer.alloc(0);
      return bytes;
    });
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }

  private inTurn<T>(step: () => Promise<T>): Promise<T> {
    const next = this.turn.then(step, step);
    this.turn = next.catch(() => {});
    return next;
  }

  private async trim(): Promise<void> {
    await using file = await openOwn(this.path, 'write');
    const { blocks } = await file.stat();
    if (blocks * 512 <= MAX_FILE_BYTES) return;
    await this.pull();
    await file.truncate();
    this.emptied = true;
  }

  private async pull(): Promise<void> {
    await using file = await openIfThere(this.path);
    if (!file) return;
    const { size } = await file.stat();
    if (size <= this.offset) return;
    const position = Math.max(this.offset, size - KEPT_BYTES);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size - position), position });
    this.offset = position + bytesRead;
    const bytes = buffer.subarray(0, bytesRead);
    this.unread = Buffer.concat([this.unread, this.emptied ? withoutHole(bytes) : bytes]).subarray(
      -KEPT_BYTES,
    );
    this.emptied = false;
  }
}

/** What the guest printed between the last look and the emptying is gone; zeros are in its place. */
function withoutHole(bytes: Buffer): Buffer {
  const start = bytes.findIndex((byte) => byte !== 0);
  return start < 0 ? Buffer.alloc(0) : bytes.subarray(start);
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await openOwn(path);
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw caught;
  }
}
