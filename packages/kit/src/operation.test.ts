import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SandboxError } from '@sandbox-backend/protocol';
import { Operation, type OperationReport, onOperation } from './operation.ts';

const options = { timeoutMs: 60_000 };

test('an observer hears once how an operation went, with its phases and what it was about', async () => {
  const reports: OperationReport[] = [];
  using _heard = onOperation((report) => reports.push(report));
  const before = Date.now();
  const op = new Operation('create', { ...options, traceParent: 'as it came' });
  const result = await op.observe('thing.create', async () => {
    op.attributes.thing = 't1';
    await op.phase('first', () => undefined);
    return op.phase('second', () => 42);
  });
  assert.equal(result, 42);
  assert.equal(reports.length, 1);
  const [report] = reports as [OperationReport];
  assert.equal(report.verb, 'thing.create');
  assert.equal(report.traceParent, 'as it came');
  assert.equal(report.error, undefined);
  assert.deepEqual(report.attributes, { thing: 't1' });
  assert.deepEqual(
    report.phases.map(({ name }) => name),
    ['first', 'second'],
  );
  const times = report.phases.flatMap(({ startedAt, endedAt }) => [startedAt, endedAt]);
  const ordered = [report.startedAt, ...times, report.endedAt];
  assert.deepEqual(
    ordered,
    ordered.toSorted((a, b) => a - b),
  );
  assert.ok(report.startedAt >= before - 2 && report.endedAt <= Date.now() + 2, 'on the wall clock');
});

test('a failure is reported by its code, and thrown as it was', async () => {
  const reports: OperationReport[] = [];
  using _heard = onOperation((report) => reports.push(report));
  const op = new Operation('create', options);
  const error = new SandboxError('no_space', 'the disk is full');
  const failed = op.observe('thing.create', () => op.phase('disk', () => Promise.reject(error)));
  await assert.rejects(failed, (caught) => caught === error);
  assert.deepEqual(reports[0]?.error, { code: 'no_space', message: 'the disk is full' });
  assert.equal(reports[0]?.phases[0]?.error, 'no_space');
});

test('an observer that was disposed of hears nothing', async () => {
  let heard = 0;
  const observer = onOperation(() => heard++);
  observer[Symbol.dispose]();
  await new Operation('create', options).observe('thing.create', async () => undefined);
  assert.equal(heard, 0);
});
