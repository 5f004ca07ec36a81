import type { TestEvent } from 'node:test/reporters';

/** A reporter of node's test runner: one JSON object for each test that has no tests of its own. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { name, skip, details, file } = event.data;
    if (details.type === 'suite') continue;
    const status = skip === undefined ? (event.type === 'test:pass' ? 'pass' : 'fail') : 'not run';
    yield `${JSON.stringify({ file: file?.split('/').at(-1), name, status })}\n`;
  }
}
