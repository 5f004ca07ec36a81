import assert from 'node:assert/strict';
import test from 'node:test';
import { type Action, reconcile } from './reconcile.ts';
import { isTransition, type SandboxState, STATES } from './state.ts';

const id = 'ix';
const stop: Action = { do: 'stop', id };

for (const [state, runs, stops, to] of [
  ['running', true, false, undefined],
  ['running', false, false, 'gone'],
  ['starting', true, true, 'failed'],
  ['starting', false, false, 'failed'],
  ['killing', true, true, 'gone'],
  ['killing', false, false, 'gone'],
  ['pausing', true, false, 'running'],
  ['pausing', false, false, 'gone'],
  ['paused', true, true, undefined],
  ['paused', false, false, undefined],
  ['resuming', true, true, 'paused'],
  ['resuming', false, false, 'paused'],
  ['gone', true, true, undefined],
  ['failed', true, true, undefined],
] as [SandboxState, boolean, boolean, SandboxState | undefined][]) {
  test(`${state}, ${runs ? 'and a machine' : 'and no machine'}: ${stops ? 'stop it, ' : ''}${to ?? 'keep the row'}`, () => {
    const actions = reconcile([{ id, state }], new Set(runs ? [id] : []));
    assert.deepEqual(
      actions.map((action) => (action.do === 'stop' ? 'stop' : action.to)),
      [...(stops ? ['stop'] : []), ...(to ? [to] : [])],
    );
  });
}

test('a machine without a row is stopped', () => {
  assert.deepEqual(reconcile([], new Set([id])), [stop]);
});

test('no action is outside the table of transitions', () => {
  for (const state of STATES) {
    for (const runs of [true, false]) {
      for (const action of reconcile([{ id, state }], new Set(runs ? [id] : []))) {
        if (action.do === 'mark')
          assert.ok(isTransition(action.from, action.to), `${action.from} → ${action.to}`);
      }
    }
  }
});
