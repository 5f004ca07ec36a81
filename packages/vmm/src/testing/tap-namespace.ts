import { randomId, run } from '@sandbox-backend/kit';

/** The tap in every namespace that {@link tapNamespace} makes. */
export const TEST_TAP = 'vmtap0';

/** A network namespace with one tap and nothing else; needs root. Gone at the end of its scope. */
export async function tapNamespace(
  options: { owner?: number } = {},
): Promise<AsyncDisposable & { wrapper: readonly string[] }> {
  await using held = new AsyncDisposableStack();
  const name = randomId('vmmtest-', 8);
  await run('ip', ['netns', 'add', name]);
  held.defer(async () => void (await run('ip', ['netns', 'del', name])));
  const owner = options.owner === undefined ? [] : ['user', `${options.owner}`];
  await run('ip', ['-n', name, 'tuntap', 'add', TEST_TAP, 'mode', 'tap', ...owner]);
  const owned = held.move();
  return { wrapper: ['ip', 'netns', 'exec', name], [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
