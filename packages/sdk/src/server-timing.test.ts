import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseServerTiming } from './server-timing.ts';

test('durations by name', () => {
  assert.deepEqual(parseServerTiming('slot;dur=1.5, restore;desc="load";dur=80'), { slot: 1.5, restore: 80 });
});

test('phases of one name add up, and what has no duration is left out', () => {
  assert.deepEqual(parseServerTiming('clone;dur=1,clone;dur=2,cache,bad;dur=x'), { clone: 3 });
  assert.deepEqual(parseServerTiming(undefined), {});
});
