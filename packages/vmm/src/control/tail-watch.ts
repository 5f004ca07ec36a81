import { watch } from 'node:fs';
import { openOwn } from '../open-own.ts';

const TAIL_BYTES = 4096;

/**
 * Calls back once when the end of a file that a VMM writes matches; looks at it whenever it changes, and now.
 * Disposing of it ends the watch.
 */
export function onTail(path: string, pattern: RegExp, callback: () => void): Disposable {
  let state: 'idle' | 'looking' | 'again' | 'done' = 'idle';
  const look = async () => {
    if (state !== 'idle') {
      if (state === 'looking') state = 'again';
      return;
    }
    state = 'looking';
    const found = pattern.test(await readTail(path));
    const again = (state as string) === 'again';
    if ((state as string) === 'done') return;
    state = found ? 'done' : 'idle';
    if (found) callback();
    else if (again) await look();
  };
  const watcher = watch(path, () => void look());
  watcher.on('error', () => {}); // the file went with the machine
  void look();
  return {
    [Symbol.dispose]: () => {
      state = 'done';
      watcher.close();
    },
  };
}

async function readTail(path: string): Promise<string> {
  try {
    await using file = await openOwn(path);
    const { size } = await file.stat();
    const position = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(TAIL_BYTES), position });
    return buffer.toString('latin1', 0, bytesRead);
  } catch {
    return '';
  }
}
