import assert from 'node:assert/strict';
import test from 'node:test';
import { isTransition, LIVE_STATES, STATES, statesSeenAs, TRANSITIONS } from './state.ts';

test('every state that holds a machine can be killed, and what ended stays ended', () => {
  for (const state of LIVE_STATES) {
    assert.ok(state === 'killing' || isTransition(state, 'killing'), state);
  }
  assert.deepEqual(TRANSITIONS.gone, []);
  assert.deepEqual(TRANSITIONS.failed, []);
});

test('every state is reached from starting', () => {
  const seen = new Set(['starting']);
  const walk = (state: (typeof STATES)[number]): void => {
    for (const next of TRANSITIONS[state]) {
      if (seen.has(next)) continue;
      seen.add(next);
      walk(next);
    }
  };
  walk('starting');
  assert.deepEqual(seen, new Set(STATES));
});

test('a kill is never undone', () => {
  assert.deepEqual(TRANSITIONS.killing, ['gone']);
});

test('clients see two states, and a change in the colour of where it came from', () => {
  assert.deepEqual(statesSeenAs(['running']), ['running', 'pausing']);
  assert.deepEqual(statesSeenAs(['running', 'paused']), ['running', 'pausing', 'paused', 'resuming']);
});
