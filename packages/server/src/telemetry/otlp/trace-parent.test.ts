import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTraceParent } from './trace-parent.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

test('a header of the standard says trace, span and whether it is sampled', () => {
  const place = { traceId: TRACE, spanId: SPAN, isRemote: true };
  assert.deepEqual(parseTraceParent(`00-${TRACE}-${SPAN}-01`), { ...place, traceFlags: 1 });
  assert.deepEqual(parseTraceParent(`00-${TRACE}-${SPAN}-02`), { ...place, traceFlags: 0 });
  assert.deepEqual(parseTraceParent(`01-${TRACE}-${SPAN}-01-what-comes-later`), { ...place, traceFlags: 1 });
});

for (const header of [
  '',
  'no',
  `ff-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01-more`,
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE}-${SPAN}-01\n`,
  `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
]) {
  test(`${JSON.stringify(header)} is no place in a trace`, () => {
    assert.equal(parseTraceParent(header), undefined);
  });
}
