import assert from 'node:assert/strict';
import test from 'node:test';
import { Operation } from './operation.ts';
import { race } from './race.ts';

const never = new Promise<never>(() => {});

test('a promise that settles in time is passed on', async () => {
  const op = new Operation('work', { timeoutMs: 60_000 });
  assert.equal(await race(op, 'step', Promise.resolve(7)), 7);
  await assert.rejects(race(op, 'step', Promise.reject(new Error('broken'))), { message: 'broken' });
});

test('an operation that ends first says how and where', async () => {
  await assert.rejects(race(new Operation('work', { timeoutMs: 1 }), 'step', never), {
    code: 'deadline_exceeded',
    message: 'work ran out of time in step',
  });
  const controller = new AbortController();
  const waiting = race(
    new Operation('work', { timeoutMs: 60_000, signal: controller.signal }),
    'step',
    never,
  );
  controller.abort();
  await assert.rejects(waiting, { code: 'canceled', message: 'work was canceled in step' });
});

test('an operation that is over wins over a promise that is settled', async () => {
  const op = new Operation('work', { timeoutMs: 60_000, signal: AbortSignal.abort() });
  await assert.rejects(race(op, 'step', Promise.resolve(7)), { code: 'canceled' });
  await assert.rejects(race(op, 'step', Promise.reject(new Error('late'))), { code: 'canceled' });
});

test('a step that fails because the operation ended is reported as its end', async () => {
  const op = new Operation('work', { timeoutMs: 1 });
  const failing = new Promise<never>((_, reject) => {
    op.signal.addEventListener('abort', () => reject(new Error('aborted')));
  });
  await assert.rejects(race(op, 'step', failing), { code: 'deadline_exceeded' });
});
