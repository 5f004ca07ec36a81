import { openOwn } from './open-own.ts';

/**
 * Empties the VMM's log whenever it has grown past `maxBytes`: a guest can provoke messages without end, and
 * the disk is the host's. The VMM writes by appending, so it goes on at the start of the emptied file.
 */
export function boundLog(path: string, options = { maxBytes: 1024 * 1024, everyMs: 5000 }): Disposable {
  const check = async () => {
    await using file = await openOwn(path, 'write');
    const { size } = await file.stat();
    if (size > options.maxBytes) await file.truncate();
  };
  const timer = setInterval(() => void check().catch(() => {}), options.everyMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
