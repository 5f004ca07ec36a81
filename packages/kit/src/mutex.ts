import type { Operation } from './operation.ts';
import { race } from './race.ts';

export type Mutex = <T>(op: Operation, what: string, work: () => Promise<T>) => Promise<T>;

/** One after the other, in the order of their calls. Who gives up waiting leaves its place; what it would have done is not done. */
export function mutex(): Mutex {
  let last: Promise<unknown> = Promise.resolve();
  return async (op, what, work) => {
    const before = last;
    const { promise: done, resolve: release } = Promise.withResolvers<void>();
    last = before.then(() => done);
    try {
      await race(op, what, before);
      return await work();
    } finally {
      release();
    }
  };
}
