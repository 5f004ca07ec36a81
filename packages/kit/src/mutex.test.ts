import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mutex } from './mutex.ts';
import { Operation } from './operation.ts';

const op = () => new Operation('test', { timeoutMs: 10_000 });

test('works on one at a time, in order, also after one that failed', async () => {
  const lock = mutex();
  const seen: string[] = [];
  const work = (name: string) => async () => {
    seen.push(`${name} begins`);
    await sleep(5);
    seen.push(`${name} ends`);
    if (name === 'b') throw new Error('b failed');
  };
  const all = await Promise.allSettled(['a', 'b', 'c'].map((name) => lock(op(), 'wait', work(name))));
  assert.deepEqual(
    all.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(
    seen,
    ['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
});

test('who gives up waiting does nothing and holds nobody up', async () => {
  const lock = mutex();
  const abort = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = lock(op(), 'wait', () => promise);
  let ran = false;
  const second = lock(
    new Operation('test', { timeoutMs: 10_000, signal: abort.signal }),
    'wait',
    async () => {
      ran = true;
    },
  );
  const third = lock(op(), 'wait', async () => 'third');
  abort.abort();
  await assert.rejects(second, { code: 'canceled' });
  resolve();
  await first;
  assert.equal(await third, 'third');
  assert.equal(ran, false);
});
