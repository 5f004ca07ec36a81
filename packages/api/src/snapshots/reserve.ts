import { SandboxError } from '@sandbox-backend/protocol';

const reserved = new WeakMap<object, Set<string>>();

/**
 * Keeps a name to one verb until it is disposed of: the row that says whose a snapshot is, and its files, change
 * together. `rows` are those of the names. Errors: `failed_precondition` while another verb has the name.
 */
export function reserveName(rows: object, name: string): Disposable {
  const names = reserved.get(rows) ?? new Set();
  reserved.set(rows, names);
  if (names.has(name)) {
    throw new SandboxError('failed_precondition', `${name} is being made or deleted`, {
      hint: 'Try again when that is done, or choose another name.',
    });
  }
  names.add(name);
  return { [Symbol.dispose]: () => void names.delete(name) };
}
